/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cvd.json with everything inline: one that is accepted makes a command line, and one that is not
 * has a problem told. Inputs that name files are left out: what there is on this machine is no
 * input.
 */
#include "launcher/config/config.h"
#include "launcher/config/substitute.h"
#include "launcher/qemu/command.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int file;
static char *path;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    fuzz_init();
    file = memfd_create("cvd.json", MFD_CLOEXEC);
    path = g_strdup_printf("/proc/self/fd/%d", file);
    return chdir("/proc/self/fdinfo"); /* where there is nothing that relative names could mean */
}

static void expand(const CvdConfig *config, const CvdProgramConfig *program, char **texts)
{
    for (; texts != NULL && *texts != NULL; texts++)
        g_free(cvd_substitute(config, program, *texts));
}

static void check_program(const CvdConfig *config, const CvdProgramConfig *program)
{
    expand(config, program, program->argv);
    expand(config, program, program->env);
    g_autofree char *cwd = cvd_substitute(config, program, program->cwd);
    if (program->argv[0] == NULL || program->regions == NULL || !g_path_is_absolute(cwd))
        abort();
}

static void check(const CvdConfig *config)
{
    char *accel[] = {(char *)"tcg", NULL};
    CvdQemuTools tools = {.binary = (char *)"/qemu", .accel = accel};
    g_auto(GStrv) argv = cvd_qemu_command(config, &tools, NULL, NULL);
    g_auto(GStrv) by_path = cvd_qemu_command(config, &tools, "vm.sock", NULL);

    g_free(cvd_quote_command((const char *const *)argv));
    for (guint i = 0; i < config->n_programs; i++)
        check_program(config, &config->programs[i]);
    expand(config, NULL, config->hooks.before_start);
    if (g_strv_length(argv) < 10 || g_strv_length(by_path) < 10 || config->layout == NULL)
        abort();
}

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
    CvdConfigSource source = {.path = path};

    if (memchr(data, '/', size) != NULL || ftruncate(file, 0) < 0 ||
        pwrite(file, data, size, 0) != (gssize)size)
        return 0;
    g_autoptr(CvdConfig) config = cvd_config_load(&source, problems);
    if (config != NULL)
        check(config);
    else if (problems->len == 0)
        abort();
    return 0;
}
