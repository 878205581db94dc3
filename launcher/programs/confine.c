/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bubblewrap runs the program in namespaces of its own: mounts, processes, IPC, host name, network,
 * and users, in which it has no capabilities and cannot make further ones. This works for root and
 * for everybody else alike, and without a setuid bit, which no_new_privs would make useless.
 *
 * There are two processes of bubblewrap for each program: one waits, and one is the first of the
 * program's namespace, which the kernel ends with it. They close what they inherit, so the program
 * alone holds its regions and sockets. Neither passes signals on, and the program would die with
 * the first at once; but a signal that is ignored stays so in what is executed. So env(1) ignores
 * the stop signal before them, and sets it back after them.
 */
#include "launcher/programs/confine.h"

#include "launcher/config/substitute.h"

#include <signal.h>
#include <string.h>

/* Beyond which the kernel ends it with a SIGKILL that nobody can explain. */
#define CPU_GRACE_S 5

guint cvd_confine_get_limits(const CvdConfine *confine, CvdLimit limits[CVD_CONFINE_MAX_LIMITS])
{
    guint n = 0;

    if (confine == NULL)
        return 0;
    if (confine->memory_bytes > 0)
        limits[n++] = (CvdLimit){RLIMIT_AS, confine->memory_bytes, confine->memory_bytes};
    if (confine->n_fds > 0)
        limits[n++] = (CvdLimit){RLIMIT_NOFILE, confine->n_fds, confine->n_fds};
    if (confine->cpu_s > 0)
        limits[n++] = (CvdLimit){RLIMIT_CPU, confine->cpu_s, confine->cpu_s + CPU_GRACE_S};
    return n;
}

/* ---- The command ---- */

static gboolean has_file_system(const CvdProgramConfig *program)
{
    return program->confine != NULL && program->confine->has_file_system;
}

static void add(GPtrArray *argv, const char *text)
{
    g_ptr_array_add(argv, g_strdup(text));
}

static void add_all(GPtrArray *argv, const char *const *texts)
{
    for (; *texts != NULL; texts++)
        add(argv, *texts);
}

/* @option: such as --ro-bind: what is at @path is there at the same place */
static void add_bind(GPtrArray *argv, const char *option, const char *path)
{
    add(argv, option);
    add(argv, path);
    add(argv, path);
}

/* SIGKILL cannot be ignored, and need not be. */
static void add_env(GPtrArray *argv, const char *option, const CvdProgramConfig *program)
{
    if (program->stop_signal == SIGKILL)
        return;
    add(argv, "env");
    g_ptr_array_add(argv, g_strdup_printf("%s=%d", option, program->stop_signal));
}

static void add_namespaces(GPtrArray *argv, const CvdConfine *confine)
{
    static const char *const options[] = {
        "bwrap", "--die-with-parent", "--unshare-user", "--disable-userns",     "--cap-drop",
        "ALL",   "--unshare-pid",     "--unshare-ipc",  "--unshare-cgroup-try", "--unshare-uts",
        NULL,
    };

    add_all(argv, options);
    if (!confine->network)
        add(argv, "--unshare-net");
}

/* What programs and their libraries need of the host. What is not there, or is a link to something
 * else of this, does no harm. */
static void add_system(GPtrArray *argv, const CvdConfine *confine)
{
    static const char *const paths[] = {
        "/usr",
        "/bin",
        "/sbin",
        "/lib",
        "/lib32",
        "/lib64",
        "/libx32",
        "/etc/alternatives",
        "/etc/group",
        "/etc/hosts",
        "/etc/ld.so.cache",
        "/etc/ld.so.conf",
        "/etc/ld.so.conf.d",
        "/etc/localtime",
        "/etc/nsswitch.conf",
        "/etc/passwd",
        "/etc/ssl/certs",
        "/etc/ssl/openssl.cnf",
        NULL,
    };
    static const char *const network_paths[] = {"/etc/gai.conf",  "/etc/host.conf",
                                                "/etc/protocols", "/etc/resolv.conf",
                                                "/etc/services",  NULL};

    if (confine->read_only != NULL &&
        g_strv_contains((const char *const *)confine->read_only, "/")) {
        add_bind(argv, "--ro-bind", "/");
        return;
    }
    for (gsize i = 0; paths[i] != NULL; i++)
        add_bind(argv, "--ro-bind-try", paths[i]);
    for (gsize i = 0; confine->network && network_paths[i] != NULL; i++)
        add_bind(argv, "--ro-bind-try", network_paths[i]);
}

/* What it writes there is memory, too. */
static void add_tmpfs(GPtrArray *argv, const CvdConfine *confine, const char *path)
{
    if (confine->memory_bytes > 0) {
        add(argv, "--size");
        g_ptr_array_add(argv, g_strdup_printf("%" G_GUINT64_FORMAT, confine->memory_bytes));
    }
    add(argv, "--tmpfs");
    add(argv, path);
}

static void add_private(GPtrArray *argv, const CvdConfine *confine)
{
    static const char *const options[] = {"--proc", "/proc", "--dev", "/dev", NULL};

    add_all(argv, options);
    add_tmpfs(argv, confine, "/dev/shm");
    add_tmpfs(argv, confine, "/tmp");
}

/* A device that is bound without --dev-bind cannot be opened. @texts: (nullable) */
static void add_named(GPtrArray *argv, const CvdConfig *config, const CvdProgramConfig *program,
                      const char *option, char **texts)
{
    for (; texts != NULL && *texts != NULL; texts++) {
        g_autofree char *path = cvd_substitute(config, program, *texts);
        if (strcmp(path, "/") != 0) /* see add_system() */
            add_bind(argv, g_str_has_prefix(path, "/dev/") ? "--dev-bind" : option, path);
    }
}

/* The socket alone: its directory has the others, too. */
static void add_sockets(GPtrArray *argv, const CvdConfig *config, const CvdProgramConfig *program,
                        const char *notify_socket)
{
    g_autofree char *client_socket = cvd_substitute(config, program, "${client_socket}");
    gboolean has_regions = program->regions != NULL && program->regions[0] != NULL;

    if (has_regions && !program->pass_fds)
        add_bind(argv, "--ro-bind", client_socket);
    if (notify_socket != NULL && program->user == NULL) /* else it inherits it */
        add_bind(argv, "--ro-bind", notify_socket);
}

/* The kernel asks for no capability where root writes its settings (/proc/sys), so what a launcher
 * of root's confines could otherwise have the kernel run a command outside. */
static void add_file_system(GPtrArray *argv, const CvdConfig *config,
                            const CvdProgramConfig *program, const char *path,
                            const char *notify_socket)
{
    static const char *const last[] = {
        "--remount-ro", "/dev", "--remount-ro", "/proc", "--remount-ro", "/", NULL};

    add_system(argv, program->confine);
    add_private(argv, program->confine);
    if (g_path_is_absolute(path))
        add_bind(argv, "--ro-bind", path);
    add_named(argv, config, program, "--ro-bind", program->confine->read_only);
    add_named(argv, config, program, "--bind", program->confine->writable);
    add_sockets(argv, config, program, notify_socket);
    add_all(argv, last);
}

char **cvd_confine_wrap(const CvdConfig *config, const CvdProgramConfig *program, char **argv,
                        const char *notify_socket)
{
    static const char *const listen_pid[] = {"--setenv", "LISTEN_PID", "2", NULL};

    if (!has_file_system(program))
        return g_strdupv(argv);
    GPtrArray *wrapped = g_ptr_array_new();
    add_env(wrapped, "--ignore-signal", program);
    add_namespaces(wrapped, program->confine);
    add_file_system(wrapped, config, program, argv[0], notify_socket);
    if (program->pass_fds || program->n_sockets > 0)
        add_all(wrapped, listen_pid);
    add(wrapped, "--");
    add_env(wrapped, "--default-signal", program);
    add_all(wrapped, (const char *const *)argv);
    g_ptr_array_add(wrapped, NULL);
    return (char **)g_ptr_array_free(wrapped, FALSE);
}

/* ---- What comes of it ---- */

CvdExit cvd_confine_unwrap_exit(const CvdProgramConfig *program, CvdExit how)
{
    if (has_file_system(program) && how.is_known && !how.is_signal && how.value > 128 &&
        how.value < 128 + NSIG)
        return (CvdExit){.is_known = TRUE, .is_signal = TRUE, .value = how.value - 128};
    return how;
}
