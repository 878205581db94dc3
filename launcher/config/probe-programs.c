/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/config/probe-programs.h"

#include "launcher/config/executable.h"
#include "launcher/config/place.h"
#include "launcher/config/substitute.h"
#include "launcher/instance-dir.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    const CvdConfig *config;
    GPtrArray *problems;
    char *runtime; /* which is there once the instance runs */
} Probe;

/* @key: of the command, which is in @argv, or NULL if it is not given */
static void check_command(const Probe *probe, const CvdProgramConfig *program, const char *key,
                          char **argv)
{
    g_autofree char *name = argv ? cvd_substitute(probe->config, program, argv[0]) : NULL;
    g_autofree char *why = NULL;
    g_autofree char *path = name ? cvd_executable_find(name, &why) : NULL;

    if (name && !path)
        cvd_problem(probe->problems, "%s[0]: %s; name a program that can be run", key, why);
}

static gboolean is_in_runtime(const Probe *probe, const char *path)
{
    gsize length = strlen(probe->runtime);

    return strncmp(path, probe->runtime, length) == 0 &&
           (path[length] == '\0' || path[length] == '/');
}

/* @text: a path; @must_be_directory: it has to be one */
static void check_path(const Probe *probe, const CvdProgramConfig *program, const char *key,
                       const char *text, gboolean must_be_directory)
{
    g_autofree char *path = cvd_substitute(probe->config, program, text);
    gboolean is_there = g_file_test(path, G_FILE_TEST_EXISTS);

    if (is_in_runtime(probe, path))
        return;
    if (!is_there)
        cvd_problem(probe->problems, "programs.%s.%s: %s: is not there; make it", program->name,
                    key, path);
    else if (must_be_directory && !g_file_test(path, G_FILE_TEST_IS_DIR))
        cvd_problem(probe->problems, "programs.%s.%s: %s: is no directory; name one", program->name,
                    key, path);
}

static void check_confine(const Probe *probe, const CvdProgramConfig *program)
{
    const CvdConfine *confine = program->confine;
    g_autofree char *bubblewrap = g_find_program_in_path("bwrap");

    if (!confine || !confine->has_file_system)
        return;
    if (!bubblewrap)
        cvd_problem(probe->problems,
                    "programs.%s.confine: bwrap is not in PATH; install it (apt install "
                    "bubblewrap), or set \"file_system\": false",
                    program->name);
    for (char **path = confine->read_only; path && *path; path++)
        check_path(probe, program, "confine.read_only", *path, FALSE);
    for (char **path = confine->writable; path && *path; path++)
        check_path(probe, program, "confine.writable", *path, FALSE);
}

static void check_program(const Probe *probe, const CvdProgramConfig *program)
{
    g_autofree char *key = g_strdup_printf("programs.%s.argv", program->name);

    check_command(probe, program, key, program->argv);
    check_path(probe, program, "cwd", program->cwd, TRUE);
    check_confine(probe, program);
    if (program->user && geteuid() != 0)
        cvd_problem(probe->problems,
                    "programs.%s.user: only root can start a program as user \"%s\"; leave it "
                    "out, or start cvd-launch as root",
                    program->name, program->user->user);
}

void cvd_programs_probe(const CvdConfig *config, GPtrArray *problems)
{
    g_autofree char *runtime = cvd_instance_dir_path(config->name);
    const Probe probe = {config, problems, runtime};

    for (guint i = 0; i < config->n_programs; i++)
        check_program(&probe, &config->programs[i]);
    check_command(&probe, NULL, "hooks.before_start", config->hooks.before_start);
    check_command(&probe, NULL, "hooks.after_ready", config->hooks.after_ready);
    check_command(&probe, NULL, "hooks.after_stop", config->hooks.after_stop);
}
