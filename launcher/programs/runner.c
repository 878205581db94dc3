/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/programs/runner.h"

#include "base/fd.h"
#include "base/passed.h"
#include "base/source.h"
#include "launcher/config/substitute.h"
#include "launcher/programs/channel.h"
#include "launcher/programs/confine.h"
#include "launcher/programs/environment.h"
#include "launcher/programs/notify-socket.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* Between two looks at whether it listens at its paths, for which there is no event. Each pause is
 * twice the one before. */
#define FIRST_PAUSE_US G_TIME_SPAN_MILLISECOND
#define LAST_PAUSE_US  (128 * G_TIME_SPAN_MILLISECOND)

struct CvdRunner {
    const CvdConfig *config;
    const CvdProgramConfig *program;
    CvdChildren *children;
    const CvdRunnerHandlers *handlers;
    gpointer user_data;
    CvdChild *child;
    CvdOutput *output;
    CvdNotifySocket *notify;
    CvdChannel *channels;  /* as many as it has sockets */
    GSource *listen_timer; /* until the next look at those with a path */
    gint64 listen_pause_us;
    gboolean *has_regions; /* which of its regions it has */
    gboolean is_notified;  /* it has said that it is ready */
    gboolean is_ready;     /* and that was told */
    guint *passed;         /* the numbers of those that it inherits */
    char *reason;          /* how it ended last, or what it says itself */
};

static void tell(CvdRunner *runner, CvdProgramEvent event)
{
    runner->handlers->happened(runner->program, event, runner->user_data);
}

static void set_reason(CvdRunner *runner, char *take_reason)
{
    g_free(runner->reason);
    runner->reason = take_reason;
}

/* ---- Readiness ---- */

static gboolean has_all_regions(const CvdRunner *runner)
{
    for (guint i = 0; runner->program->regions[i] != NULL; i++)
        if (!runner->has_regions[i])
            return FALSE;
    return TRUE;
}

static gboolean is_as_configured(const CvdRunner *runner)
{
    switch (runner->program->ready) {
    case CVD_READY_STARTED:
        return TRUE;
    case CVD_READY_ATTACHED:
        return has_all_regions(runner);
    case CVD_READY_NOTIFY:
        return runner->is_notified;
    }
    g_assert_not_reached();
}

/* Returns: whether QEMU has its end of each socket at a path; those of the others were there before
 * the process */
static gboolean connect_paths(CvdRunner *runner)
{
    gboolean are_connected = TRUE;

    for (guint i = 0; i < runner->program->n_sockets; i++)
        if (runner->program->sockets[i].kind == CVD_SOCKET_PATH)
            are_connected &= cvd_channel_connect(&runner->channels[i]);
    return are_connected;
}

/* Once: another connection to a path would be one too many. */
static void report_if_ready(CvdRunner *runner)
{
    if (runner->is_ready || runner->child == NULL || !is_as_configured(runner) ||
        !connect_paths(runner))
        return;
    runner->is_ready = TRUE;
    tell(runner, CVD_PROGRAM_REPORTED_READY);
}

static gboolean look_for_listeners(gpointer data)
{
    CvdRunner *runner = data;

    cvd_source_clear(&runner->listen_timer);
    if (connect_paths(runner)) {
        report_if_ready(runner);
        return G_SOURCE_REMOVE;
    }
    cvd_source_set_timer(&runner->listen_timer, g_get_monotonic_time() + runner->listen_pause_us,
                         look_for_listeners, runner);
    runner->listen_pause_us = MIN(2 * runner->listen_pause_us, LAST_PAUSE_US);
    return G_SOURCE_REMOVE;
}

void cvd_runner_client_attached(CvdRunner *runner, pid_t pid, const char *region)
{
    char **regions = runner->program->regions;

    if (runner->child == NULL || runner->program->ready != CVD_READY_ATTACHED ||
        !cvd_child_has(runner->child, pid))
        return;
    for (guint i = 0; regions[i] != NULL; i++)
        runner->has_regions[i] |= strcmp(regions[i], region) == 0;
    report_if_ready(runner);
}

static void on_notified(gboolean is_ready, const char *status, gpointer data)
{
    CvdRunner *runner = data;

    if (status != NULL)
        set_reason(runner, g_strdup(status));
    runner->is_notified |= is_ready;
    if (is_ready)
        report_if_ready(runner);
    else
        runner->handlers->changed(runner->user_data);
}

/* ---- Start ---- */

static void forget_process(CvdRunner *runner)
{
    cvd_source_clear(&runner->listen_timer);
    g_clear_pointer(&runner->child, cvd_child_free);
    g_clear_pointer(&runner->notify, cvd_notify_socket_free);
}

/* What it has said before its end may still be on its way. */
static void on_exited(CvdExit how, gpointer data)
{
    CvdRunner *runner = data;

    if (runner->notify != NULL)
        cvd_notify_socket_read_rest(runner->notify);
    how = cvd_confine_unwrap_exit(runner->program, how);
    set_reason(runner, cvd_exit_describe(how));
    forget_process(runner);
    cvd_output_read_rest(runner->output);
    gboolean is_success = how.is_known && !how.is_signal && how.value == 0;
    tell(runner, is_success ? CVD_PROGRAM_SUCCEEDED : CVD_PROGRAM_ENDED);
}

static void on_left_behind(pid_t pid, gpointer data)
{
    const CvdRunner *runner = data;

    g_warning("program %s: process %d, which it has left behind, was killed", runner->program->name,
              pid);
}

static const CvdChildHandlers child_handlers = {.exited = on_exited, .left_behind = on_left_behind};

static void close_all(GArray *fds)
{
    for (guint i = 0; i < fds->len; i++)
        cvd_close_fd(&g_array_index(fds, int, i));
    g_array_unref(fds);
}

typedef GArray FdArray;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FdArray, close_all)

/* In the order of their numbers: cvd_program_get_socket_fd(). */
static gboolean collect_fds(CvdRunner *runner, GArray *fds, GError **error)
{
    const CvdProgramConfig *program = runner->program;

    for (guint i = 0; program->pass_fds && program->regions[i] != NULL; i++) {
        int region_fds[CVD_PASSED_N_FDS];
        runner->passed[i] = runner->handlers->open_region(program, program->regions[i], region_fds,
                                                          error, runner->user_data);
        if (runner->passed[i] == 0)
            return FALSE;
        g_array_append_vals(fds, region_fds, CVD_PASSED_N_FDS);
    }
    for (guint i = 0; i < program->n_sockets; i++) {
        int fd = g_steal_fd(&runner->channels[i].program_fd);
        if (program->sockets[i].kind != CVD_SOCKET_PATH)
            g_array_append_val(fds, fd);
        else
            unlink(runner->channels[i].path);
    }
    return TRUE;
}

/* As another user it cannot reach the runtime directory, and gets a descriptor that leads there,
 * behind the @fds that it has a number for. Returns: (transfer full) (nullable): where it says that
 * it is ready */
static char *open_notify_socket(CvdRunner *runner, GArray *fds, GError **error)
{
    const CvdRunAs *user = runner->program->user;
    g_autofree char *path = cvd_program_get_notify_path(runner->config, runner->program);

    runner->notify = cvd_notify_socket_new(path, user != NULL ? user->uid : (uid_t)-1, on_notified,
                                           runner, error);
    if (runner->notify == NULL || user == NULL)
        return runner->notify != NULL ? g_steal_pointer(&path) : NULL;
    int fd = cvd_notify_socket_open(runner->notify, error);
    if (fd < 0)
        return NULL;
    g_array_append_val(fds, fd);
    return g_strdup_printf("/proc/self/fd/%u", CVD_CHILD_FIRST_FD + fds->len - 1);
}

static char **expand_argv(const CvdRunner *runner)
{
    g_autoptr(GStrvBuilder) argv = g_strv_builder_new();

    for (char **text = runner->program->argv; *text != NULL; text++) {
        g_autofree char *arg = cvd_substitute(runner->config, runner->program, *text);
        g_strv_builder_add(argv, arg);
    }
    return g_strv_builder_end(argv);
}

static gboolean spawn_child(CvdRunner *runner, GError **error)
{
    const CvdProgramConfig *program = runner->program;
    g_autoptr(FdArray) fds = g_array_new(FALSE, FALSE, sizeof(int));
    g_auto(GStrv) base = g_get_environ();
    g_auto(GStrv) argv = expand_argv(runner);
    g_autofree char *directory = cvd_substitute(runner->config, program, program->cwd);
    g_autofree char *notify_socket = NULL;
    cvd_autofd output = cvd_output_open(runner->output, error);

    if (output < 0 || !collect_fds(runner, fds, error))
        return FALSE;
    if (program->ready == CVD_READY_NOTIFY) {
        notify_socket = open_notify_socket(runner, fds, error);
        if (notify_socket == NULL)
            return FALSE;
    }
    g_auto(CvdProgramEnvironment) environment =
        cvd_program_environment(runner->config, base, program, notify_socket);
    g_auto(GStrv) command = cvd_confine_wrap(runner->config, program, argv, notify_socket);
    g_autofree char *mark = g_strdup_printf("CVD_PROGRAM=%s", program->name);
    CvdLimit limits[CVD_CONFINE_MAX_LIMITS];
    CvdSpawn spawn = {
        .argv = command,
        .environment = environment.variables,
        .pid_text = environment.pid_text,
        .directory = directory,
        .run_as = program->user,
        .output = output,
        .fds = (const int *)(gpointer)fds->data,
        .n_fds = fds->len,
        .limits = limits,
        .n_limits = cvd_confine_get_limits(program->confine, limits),
        .mark = mark,
        .has_no_new_privileges = TRUE,
    };
    runner->child = cvd_child_spawn(runner->children, &spawn, &child_handlers, runner, error);
    return runner->child != NULL;
}

static void forget_readiness(CvdRunner *runner)
{
    for (guint i = 0; runner->program->regions[i] != NULL; i++)
        runner->has_regions[i] = FALSE;
    runner->is_notified = runner->is_ready = FALSE;
    set_reason(runner, NULL);
}

static gboolean has_path(const CvdProgramConfig *program)
{
    for (guint i = 0; i < program->n_sockets; i++)
        if (program->sockets[i].kind == CVD_SOCKET_PATH)
            return TRUE;
    return FALSE;
}

void cvd_runner_spawn(CvdRunner *runner)
{
    const CvdProgramConfig *program = runner->program;
    g_autoptr(GError) error = NULL;

    forget_readiness(runner);
    guint n_held_back = cvd_fd_hold_back(0); /* clients may have all the others */
    gboolean is_spawned = spawn_child(runner, &error);
    cvd_fd_hold_back(n_held_back);
    if (!is_spawned) {
        forget_process(runner);
        set_reason(runner, g_strdup_printf("could not be started: %s", error->message));
        tell(runner, CVD_PROGRAM_ENDED);
        return;
    }
    tell(runner, CVD_PROGRAM_SPAWNED);
    for (guint i = 0; program->pass_fds && program->regions[i] != NULL; i++)
        runner->handlers->region_passed(runner->passed[i], cvd_child_get_pid(runner->child),
                                        runner->user_data);
    if (has_path(program)) {
        runner->listen_pause_us = FIRST_PAUSE_US;
        look_for_listeners(runner);
    }
}

/* ---- Signals ---- */

/* One that was stopped cannot end before it goes on. */
void cvd_runner_stop(CvdRunner *runner)
{
    if (cvd_child_kill_group(runner->child, runner->program->stop_signal) < 0)
        g_warning("program %s: cannot send signal %d: %s", runner->program->name,
                  runner->program->stop_signal, g_strerror(errno));
    cvd_child_kill_group(runner->child, SIGCONT);
}

void cvd_runner_kill(CvdRunner *runner)
{
    g_warning("program %s was killed, as it had not ended after SIG%s", runner->program->name,
              sigabbrev_np(runner->program->stop_signal));
    cvd_child_kill_group(runner->child, SIGKILL);
}

/* ---- Sockets ---- */

gboolean cvd_runner_open_sockets(CvdRunner *runner, GError **error)
{
    for (guint i = 0; i < runner->program->n_sockets; i++)
        if (!cvd_channel_open(&runner->channels[i], error))
            return FALSE;
    return TRUE;
}

void cvd_runner_append_vm_fds(const CvdRunner *runner, GArray *fds)
{
    for (guint i = 0; i < runner->program->n_sockets; i++)
        g_array_append_val(fds, runner->channels[i].qemu_fd);
}

void cvd_runner_close_vm_fds(CvdRunner *runner)
{
    for (guint i = 0; i < runner->program->n_sockets; i++)
        cvd_close_fd(&runner->channels[i].qemu_fd);
}

/* ---- Life ---- */

CvdRunner *cvd_runner_new(const CvdConfig *config, const CvdProgramConfig *program,
                          CvdChildren *children, CvdOutput *take_output,
                          const CvdRunnerHandlers *handlers, gpointer user_data)
{
    gsize n_regions = g_strv_length(program->regions);
    CvdRunner *runner = g_new(CvdRunner, 1);

    *runner = (CvdRunner){
        .config = config,
        .program = program,
        .children = children,
        .handlers = handlers,
        .user_data = user_data,
        .output = take_output,
        .channels = g_new0(CvdChannel, program->n_sockets),
        .has_regions = g_new0(gboolean, n_regions),
        .passed = g_new0(guint, n_regions),
    };
    for (guint i = 0; i < program->n_sockets; i++)
        cvd_channel_init(&runner->channels[i], &program->sockets[i],
                         cvd_program_get_socket_path(config, program, i));
    return runner;
}

void cvd_runner_free(CvdRunner *runner)
{
    forget_process(runner);
    cvd_output_free(runner->output);
    for (guint i = 0; i < runner->program->n_sockets; i++) {
        cvd_channel_close(&runner->channels[i]);
        g_free(runner->channels[i].path);
    }
    g_free(runner->channels);
    g_free(runner->has_regions);
    g_free(runner->passed);
    g_free(runner->reason);
    g_free(runner);
}

pid_t cvd_runner_get_pid(const CvdRunner *runner)
{
    return runner->child != NULL ? cvd_child_get_pid(runner->child) : 0;
}

const char *cvd_runner_get_reason(const CvdRunner *runner)
{
    return runner->reason;
}

char **cvd_runner_get_last_lines(const CvdRunner *runner, guint max_lines)
{
    return cvd_output_get_last_lines(runner->output, max_lines);
}

char *cvd_runner_get_log_path(const CvdRunner *runner)
{
    return cvd_output_get_path(runner->output);
}
