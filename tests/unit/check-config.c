/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser's verdict on files, for schemas.py: `check-config KIND BASE FILE…` prints a line `ok`
 * or `bad` a file, and the problems on stderr. KIND is cvd, qemu or layout; the latter two are put
 * into the configuration BASE.
 */
#include "launcher/config/config.h"

#include <locale.h>
#include <string.h>

static gboolean is_good(const char *kind, const char *base, const char *file)
{
    g_autofree char *override = g_strdup_printf("%s=%s", kind, file);
    const char *overrides[] = {override, NULL};
    CvdConfigSource source = {.path = file, .may_choose = TRUE};
    if (strcmp(kind, "cvd") != 0)
        source = (CvdConfigSource){.path = base, .overrides = overrides};

    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(CvdConfig) config = cvd_config_load(&source, problems);
    for (guint i = 0; i < problems->len; i++)
        g_printerr("%s\n", (char *)problems->pdata[i]);
    g_assert((config == NULL) == (problems->len > 0));
    return config != NULL;
}

int main(int argc, char **argv)
{
    g_assert(argc > 2);
    setlocale(LC_ALL, "");
    for (int i = 3; i < argc; i++)
        g_print("%s\n", is_good(argv[1], argv[2], argv[i]) ? "ok" : "bad");
    return 0;
}
