/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/locate.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <sys/stat.h>

#ifndef BENCH_SOURCE_ROOT
#define BENCH_SOURCE_ROOT "."
#endif

static const struct {
    const char *variable;
    const char *path; /* in the build directory */
} programs[] = {
    {"CVD_LAUNCH", "launcher/cvd-launch"},
    {"CVD_VM", "guests/fake/cvd-vm"},
    {"CVD_CTL", "ctl/cvd-ctl"},
    {"CVD_CLIENT", "client/cvd-client"},
    {"CVD_EMPTY_GLIB", "bench/empty-glib"},
};

/* This program is bench/cvd-bench in it. */
static char *find_build(void)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *here = g_path_get_dirname(self != NULL ? self : ".");

    return g_path_get_dirname(here);
}

static gboolean locate(const char *variable, const char *path, GFileTest test)
{
    g_setenv(variable, path, FALSE);
    if (g_file_test(g_getenv(variable), test))
        return TRUE;
    fprintf(stderr, "cvd-bench: %s is not there; build it, or set %s\n", g_getenv(variable),
            variable);
    return FALSE;
}

gboolean locate_programs(void)
{
    g_autofree char *build = find_build();
    g_autofree char *agent = g_build_filename(build, "guests", "linux", "cvd-agent", NULL);
    g_autofree char *linux_guest = g_build_filename(build, "linux-guest", NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(programs); i++) {
        g_autofree char *path = g_build_filename(build, programs[i].path, NULL);
        if (!locate(programs[i].variable, path, G_FILE_TEST_IS_EXECUTABLE))
            return FALSE;
    }
    g_setenv("CVD_AGENT", agent, FALSE); /* not every build has it */
    g_setenv("CVD_LINUX_GUEST", linux_guest, FALSE);
    return locate("CVD_SOURCE_ROOT", BENCH_SOURCE_ROOT, G_FILE_TEST_IS_DIR);
}

static char *guest_file(const char *name)
{
    return g_build_filename(g_getenv("CVD_LINUX_GUEST"), name, NULL);
}

/* Returns: when the file was changed last; 0: there is none */
static gint64 changed(const char *path)
{
    struct stat st;

    return g_stat(path, &st) == 0 ? st.st_mtim.tv_sec : 0;
}

void locate_linux_guest(void)
{
    g_autofree char *build = find_build();
    const char *agent = g_getenv("CVD_AGENT");
    g_autofree char *initramfs = guest_file("initramfs");
    g_autofree char *script =
        g_build_filename(g_getenv("CVD_SOURCE_ROOT"), "scripts", "linux-guest", NULL);
    const char *argv[] = {script, NULL};

    if (changed(agent) == 0 || changed(initramfs) >= changed(agent))
        return;
    g_setenv("CVD_BUILD_DIR", build, FALSE);
    g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL, NULL,
                 NULL, NULL); /* what went wrong is in a file, and told as the reason */
}
