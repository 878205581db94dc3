/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a target on files, or on all files of directories. */
#include "tests/fuzz/fuzz.h"

static void run_file(const char *path)
{
    g_autofree char *content = NULL;
    g_autoptr(GError) error = NULL;
    gsize size;

    if (!g_file_get_contents(path, &content, &size, &error))
        g_error("%s", error->message);
    /* A copy of just that size, so that a read beyond it is seen. */
    g_autofree guint8 *data = g_memdup2(content, size);
    LLVMFuzzerTestOneInput(data, size);
}

static guint run_all(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    guint n = 0;

    if (dir == NULL) {
        run_file(path);
        return 1;
    }
    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *file = g_build_filename(path, name, NULL);
        run_file(file);
        n++;
    }
    return n;
}

int main(int argc, char **argv)
{
    guint n = 0;

    LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++)
        n += run_all(argv[i]);
    g_print("%u inputs\n", n);
    return n > 0 ? 0 : 1;
}
