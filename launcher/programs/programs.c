/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries out what the table of programs (program.c) asks for: spawns, signals, and watches the
 * processes. What happens to one becomes an event of the table; one that happens while another is
 * carried out waits, as in launch.c.
 */
#include "launcher/programs/programs.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/source.h"
#include "launcher/config/substitute.h"
#include "launcher/programs/channel.h"
#include "launcher/programs/confine.h"
#include "launcher/programs/environment.h"
#include "launcher/programs/notify-socket.h"
#include "launcher/programs/output.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* Between two looks at whether programs listen at their paths, for which there is no event. Each
 * pause is twice the one before. */
#define FIRST_PAUSE_US G_TIME_SPAN_MILLISECOND
#define LAST_PAUSE_US  (128 * G_TIME_SPAN_MILLISECOND)
/* Of what a program that has failed has printed. */
#define N_LAST_LINES 3

typedef struct {
    CvdPrograms *owner;
    guint index;
    const CvdProgramConfig *config;
    CvdChild *child;
    CvdOutput *output;
    CvdNotifySocket *notify;
    CvdChannel *channels;  /* as many as it has sockets */
    gboolean *has_regions; /* which of its regions it has */
    guint *passed;         /* the numbers of those that it inherits */
    char *reason;          /* how it ended last, or what it says itself */
} Runner;

typedef struct {
    CvdProgramEvent event;
    guint index;
} Input;

struct CvdPrograms {
    const CvdConfig *config;
    CvdChildren *children;
    CvdInstanceDir *dir;
    const CvdProgramsHandlers *handlers;
    gpointer user_data;
    CvdProgramTable table;
    Runner *runners;
    GArray *inputs; /* events that wait until an earlier one is handled */
    GArray *vm_fds; /* QEMU's ends of all sockets */
    GSource *timer;
    GSource *listen_timer; /* until the next look at sockets with a path */
    gint64 listen_pause_us;
    char *failure; /* of the program that the machine cannot do without */
};

static void handle(CvdPrograms *programs, CvdProgramEvent event, guint index);

static void set_reason(Runner *runner, char *take_reason)
{
    g_free(runner->reason);
    runner->reason = take_reason;
}

/* ---- Readiness ---- */

static gboolean has_all_regions(const Runner *runner)
{
    for (guint i = 0; runner->config->regions[i] != NULL; i++)
        if (!runner->has_regions[i])
            return FALSE;
    return TRUE;
}

void cvd_programs_client_attached(CvdPrograms *programs, pid_t pid, const char *region)
{
    for (guint i = 0; i < programs->config->n_programs; i++) {
        Runner *runner = &programs->runners[i];
        char **regions = runner->config->regions;
        if (runner->child == NULL || runner->config->ready != CVD_READY_ATTACHED ||
            !cvd_child_has(runner->child, pid))
            continue;
        for (guint j = 0; regions[j] != NULL; j++)
            runner->has_regions[j] |= strcmp(regions[j], region) == 0;
        if (has_all_regions(runner))
            handle(programs, CVD_PROGRAM_REPORTED_READY, i);
    }
}

static void on_notified(gboolean is_ready, const char *status, gpointer data)
{
    Runner *runner = data;

    if (status != NULL)
        set_reason(runner, g_strdup(status));
    if (is_ready)
        handle(runner->owner, CVD_PROGRAM_REPORTED_READY, runner->index);
    else
        runner->owner->handlers->changed(runner->owner->user_data);
}

/* Returns: whether each socket of the program has QEMU's end */
static gboolean connect_channels(const Runner *runner)
{
    gboolean are_connected = TRUE;

    for (guint i = 0; i < runner->config->n_sockets; i++)
        are_connected &= cvd_channel_connect(&runner->channels[i]);
    return are_connected;
}

static gboolean look_for_listeners(gpointer data)
{
    CvdPrograms *programs = data;
    gboolean is_any = FALSE;

    cvd_source_clear(&programs->listen_timer);
    for (guint i = 0; i < programs->config->n_programs; i++) {
        if (!cvd_program_is_back_end(programs->runners[i].config) ||
            programs->table.programs[i].state != CVD_PROGRAM_STARTING)
            continue;
        if (connect_channels(&programs->runners[i]))
            handle(programs, CVD_PROGRAM_REPORTED_READY, i);
        else
            is_any = TRUE;
    }
    if (!is_any)
        return G_SOURCE_REMOVE;
    cvd_source_set_timer(&programs->listen_timer,
                         g_get_monotonic_time() + programs->listen_pause_us, look_for_listeners,
                         programs);
    programs->listen_pause_us = MIN(2 * programs->listen_pause_us, LAST_PAUSE_US);
    return G_SOURCE_REMOVE;
}

/* ---- Starting ---- */

static void on_exited(CvdExit how, gpointer data)
{
    Runner *runner = data;

    how = cvd_confine_unwrap_exit(runner->config, how);
    set_reason(runner, cvd_exit_describe(how));
    g_clear_pointer(&runner->child, cvd_child_free);
    g_clear_pointer(&runner->notify, cvd_notify_socket_free);
    cvd_output_read_rest(runner->output);
    gboolean is_success = how.is_known && !how.is_signal && how.value == 0;
    handle(runner->owner, is_success ? CVD_PROGRAM_SUCCEEDED : CVD_PROGRAM_ENDED, runner->index);
}

static void on_left_behind(pid_t pid, gpointer data)
{
    const Runner *runner = data;

    g_warning("program %s: process %d, which it has left behind, was killed", runner->config->name,
              pid);
}

static const CvdChildHandlers child_handlers = {.exited = on_exited, .left_behind = on_left_behind};

/* Returns: (transfer full) (nullable): where it says that it is ready, if it is to */
static char *open_notify_socket(Runner *runner, GError **error)
{
    const CvdProgramConfig *config = runner->config;
    g_autofree char *path = cvd_program_get_notify_path(runner->owner->config, config);

    runner->notify = cvd_notify_socket_new(
        path, config->user != NULL ? config->user->uid : (uid_t)-1, on_notified, runner, error);
    return runner->notify != NULL ? g_steal_pointer(&path) : NULL;
}

static void close_all(GArray *fds)
{
    for (guint i = 0; i < fds->len; i++)
        cvd_close_fd(&g_array_index(fds, int, i));
    g_array_unref(fds);
}

typedef GArray FdArray;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FdArray, close_all)

/* In the order of their numbers: cvd_program_get_socket_fd(). */
static gboolean collect_fds(Runner *runner, GArray *fds, GError **error)
{
    const CvdProgramConfig *config = runner->config;
    CvdPrograms *programs = runner->owner;

    for (guint i = 0; config->pass_fds && config->regions[i] != NULL; i++) {
        int region_fds[CVD_REGION_N_FDS];
        runner->passed[i] = programs->handlers->open_region(config, config->regions[i], region_fds,
                                                            error, programs->user_data);
        if (runner->passed[i] == 0)
            return FALSE;
        g_array_append_vals(fds, region_fds, CVD_REGION_N_FDS);
    }
    for (guint i = 0; i < runner->config->n_sockets; i++) {
        int fd = g_steal_fd(&runner->channels[i].program_fd);
        if (runner->config->sockets[i].kind != CVD_SOCKET_PATH)
            g_array_append_val(fds, fd);
        else
            unlink(runner->channels[i].path);
    }
    return TRUE;
}

static char **expand_argv(const Runner *runner)
{
    g_autoptr(GStrvBuilder) argv = g_strv_builder_new();

    for (char **text = runner->config->argv; *text != NULL; text++) {
        g_autofree char *arg = cvd_substitute(runner->owner->config, runner->config, *text);
        g_strv_builder_add(argv, arg);
    }
    return g_strv_builder_end(argv);
}

static gboolean spawn_child(Runner *runner, GError **error)
{
    const CvdProgramConfig *config = runner->config;
    CvdPrograms *programs = runner->owner;
    g_autoptr(FdArray) fds = g_array_new(FALSE, FALSE, sizeof(int));
    g_auto(GStrv) base = g_get_environ();
    g_auto(GStrv) argv = expand_argv(runner);
    g_autofree char *directory = cvd_substitute(programs->config, config, config->cwd);
    g_autofree char *notify_socket = NULL;
    cvd_autofd output = cvd_output_open(runner->output, error);

    if (output < 0 || !collect_fds(runner, fds, error))
        return FALSE;
    if (config->ready == CVD_READY_NOTIFY) {
        notify_socket = open_notify_socket(runner, error);
        if (notify_socket == NULL)
            return FALSE;
    }
    g_auto(CvdProgramEnvironment) environment =
        cvd_program_environment(programs->config, base, config, notify_socket);
    g_auto(GStrv) command = cvd_confine_wrap(programs->config, config, argv, notify_socket);
    g_autofree char *mark = g_strdup_printf("CVD_PROGRAM=%s", config->name);
    CvdLimit limits[CVD_CONFINE_MAX_LIMITS];
    CvdSpawn spawn = {
        .argv = command,
        .environment = environment.variables,
        .pid_text = environment.pid_text,
        .directory = directory,
        .run_as = config->user,
        .output = output,
        .fds = (const int *)(gpointer)fds->data,
        .n_fds = fds->len,
        .limits = limits,
        .n_limits = cvd_confine_get_limits(config->confine, limits),
        .mark = mark,
        .has_no_new_privileges = TRUE,
    };
    runner->child = cvd_child_spawn(programs->children, &spawn, &child_handlers, runner, error);
    return runner->child != NULL;
}

static void spawn(Runner *runner)
{
    CvdPrograms *programs = runner->owner;
    g_autoptr(GError) error = NULL;

    memset(runner->has_regions, 0,
           g_strv_length(runner->config->regions) * sizeof *runner->has_regions);
    set_reason(runner, NULL);
    if (!spawn_child(runner, &error)) {
        g_clear_pointer(&runner->notify, cvd_notify_socket_free);
        set_reason(runner, g_strdup_printf("could not be started: %s", error->message));
        handle(programs, CVD_PROGRAM_ENDED, runner->index);
        return;
    }
    handle(programs, CVD_PROGRAM_SPAWNED, runner->index);
    for (guint i = 0; runner->config->pass_fds && runner->config->regions[i] != NULL; i++)
        programs->handlers->region_passed(runner->passed[i], cvd_child_get_pid(runner->child),
                                          programs->user_data);
    if (cvd_program_is_back_end(runner->config)) {
        programs->listen_pause_us = FIRST_PAUSE_US;
        look_for_listeners(programs);
    }
}

/* ---- Ending ---- */

/* One that was stopped cannot end before it goes on. */
static void send_stop_signal(Runner *runner)
{
    if (cvd_child_kill_group(runner->child, runner->config->stop_signal) < 0)
        g_warning("program %s: cannot send signal %d: %s", runner->config->name,
                  runner->config->stop_signal, g_strerror(errno));
    cvd_child_kill_group(runner->child, SIGCONT);
}

static void kill_now(Runner *runner)
{
    g_warning("program %s was killed, as it had not ended after signal %d", runner->config->name,
              runner->config->stop_signal);
    cvd_child_kill_group(runner->child, SIGKILL);
}

static char *describe_follow_up(const CvdProgram *program, const CvdConfig *config)
{
    if (program->state == CVD_PROGRAM_DELAYED)
        return g_strdup_printf("; it is started again in %g s (failure %u of %u within 10 minutes)",
                               (double)((program->due_us - program->since_us) / 1000) / 1000,
                               program->retry.n_failures, config->restart_limit);
    if (program->retry.n_failures > config->restart_limit)
        return g_strdup_printf("; given up after %u failures within 10 minutes "
                               "(lifecycle.restart_limit is %u)",
                               program->retry.n_failures, config->restart_limit);
    return g_strdup("");
}

static void report(Runner *runner)
{
    CvdPrograms *programs = runner->owner;
    const CvdProgram *program = &programs->table.programs[runner->index];
    g_autofree char *follow_up = describe_follow_up(program, programs->config);
    g_auto(GStrv) lines = cvd_output_get_last_lines(runner->output, N_LAST_LINES);
    g_autofree char *path = cvd_output_get_path(runner->output);
    g_autofree char *text = g_strdup_printf("program %s %s", runner->config->name, runner->reason);

    for (char **line = lines; *line != NULL && !cvd_log_is_verbose(); line++)
        g_message("%s: %s", runner->config->name, *line);
    g_warning("%s%s%s%s", text, follow_up, lines[0] != NULL ? "; its output: " : "",
              lines[0] != NULL ? path : "");
    if (program == programs->table.failed)
        programs->failure = g_steal_pointer(&text);
}

/* ---- Steps ---- */

static gboolean on_timer(gpointer data)
{
    CvdPrograms *programs = data;

    cvd_source_clear(&programs->timer);
    handle(programs, CVD_PROGRAMS_TIMER, 0);
    return G_SOURCE_REMOVE;
}

static void arm_timer(CvdPrograms *programs)
{
    gint64 due_us = cvd_program_table_get_due_us(&programs->table);

    if (due_us == 0)
        cvd_source_clear(&programs->timer);
    else
        cvd_source_set_timer(&programs->timer, due_us, on_timer, programs);
}

static void carry_out(Runner *runner, guint actions)
{
    if (actions & CVD_PROGRAM_REPORT)
        report(runner);
    if (actions & CVD_PROGRAM_SIGNAL)
        send_stop_signal(runner);
    if (actions & CVD_PROGRAM_KILL)
        kill_now(runner);
    if (actions & CVD_PROGRAM_SPAWN)
        spawn(runner);
}

static void step(CvdPrograms *programs, Input input)
{
    const CvdProgramsHandlers *handlers = programs->handlers;
    guint actions =
        cvd_program_table_step(&programs->table, input.event, input.index, g_get_monotonic_time());

    for (guint i = 0; i < programs->config->n_programs; i++)
        carry_out(&programs->runners[i], programs->table.programs[i].actions);
    if (actions & CVD_PROGRAMS_PREPARED)
        handlers->prepared(programs->user_data);
    if (actions & CVD_PROGRAMS_READY)
        handlers->ready(programs->user_data);
    if (actions & CVD_PROGRAMS_FAILED)
        handlers->failed(programs->failure, programs->user_data);
    handlers->changed(programs->user_data);
    if (actions & CVD_PROGRAMS_ENDED)
        handlers->ended(programs->user_data);
}

static void handle(CvdPrograms *programs, CvdProgramEvent event, guint index)
{
    Input input = {event, index};

    g_array_append_val(programs->inputs, input);
    if (programs->inputs->len > 1)
        return;
    for (guint i = 0; i < programs->inputs->len; i++)
        step(programs, g_array_index(programs->inputs, Input, i));
    g_array_set_size(programs->inputs, 0);
    arm_timer(programs);
}

/* ---- Interface ---- */

static void init_runner(Runner *runner, CvdPrograms *programs, guint index)
{
    const CvdProgramConfig *config = &programs->config->programs[index];

    *runner = (Runner){
        .owner = programs,
        .index = index,
        .config = config,
        .output = cvd_output_new(programs->dir, config->name),
        .channels = g_new0(CvdChannel, config->n_sockets),
        .has_regions = g_new0(gboolean, g_strv_length(config->regions) + 1),
        .passed = g_new0(guint, g_strv_length(config->regions) + 1),
    };
    for (guint i = 0; i < config->n_sockets; i++)
        cvd_channel_init(&runner->channels[i], &config->sockets[i],
                         cvd_program_get_socket_path(programs->config, config, i));
}

static void clear_runner(Runner *runner)
{
    g_clear_pointer(&runner->child, cvd_child_free);
    g_clear_pointer(&runner->notify, cvd_notify_socket_free);
    g_clear_pointer(&runner->output, cvd_output_free);
    for (guint i = 0; i < runner->config->n_sockets; i++) {
        cvd_channel_close(&runner->channels[i]);
        g_free(runner->channels[i].path);
    }
    g_free(runner->channels);
    g_free(runner->has_regions);
    g_free(runner->passed);
    g_free(runner->reason);
}

CvdPrograms *cvd_programs_new(const CvdConfig *config, CvdChildren *children, CvdInstanceDir *dir,
                              const CvdProgramsHandlers *handlers, gpointer user_data)
{
    CvdPrograms *programs = g_new(CvdPrograms, 1);

    *programs = (CvdPrograms){
        .config = config,
        .children = children,
        .dir = dir,
        .handlers = handlers,
        .user_data = user_data,
        .runners = g_new0(Runner, config->n_programs),
        .inputs = g_array_new(FALSE, FALSE, sizeof(Input)),
        .vm_fds = g_array_new(FALSE, FALSE, sizeof(int)),
    };
    cvd_program_table_init(&programs->table, config);
    for (guint i = 0; i < config->n_programs; i++)
        init_runner(&programs->runners[i], programs, i);
    return programs;
}

void cvd_programs_free(CvdPrograms *programs)
{
    cvd_source_clear(&programs->timer);
    cvd_source_clear(&programs->listen_timer);
    for (guint i = 0; i < programs->config->n_programs; i++)
        clear_runner(&programs->runners[i]);
    cvd_program_table_clear(&programs->table);
    g_array_unref(programs->inputs);
    g_array_unref(programs->vm_fds);
    g_free(programs->runners);
    g_free(programs->failure);
    g_free(programs);
}

gboolean cvd_programs_begin_vm(CvdPrograms *programs, GError **error)
{
    for (guint i = 0; i < programs->config->n_programs; i++)
        for (guint j = 0; j < programs->config->programs[i].n_sockets; j++)
            if (!cvd_channel_open(&programs->runners[i].channels[j], error))
                return FALSE;
    handle(programs, CVD_PROGRAMS_BEGIN_VM, 0);
    return TRUE;
}

const int *cvd_programs_get_vm_fds(const CvdPrograms *programs, guint *n_fds)
{
    g_array_set_size(programs->vm_fds, 0);
    for (guint i = 0; i < programs->config->n_programs; i++)
        for (guint j = 0; j < programs->config->programs[i].n_sockets; j++)
            g_array_append_val(programs->vm_fds, programs->runners[i].channels[j].qemu_fd);
    *n_fds = programs->vm_fds->len;
    return (const int *)(gpointer)programs->vm_fds->data;
}

void cvd_programs_close_vm_fds(CvdPrograms *programs)
{
    for (guint i = 0; i < programs->config->n_programs; i++)
        for (guint j = 0; j < programs->config->programs[i].n_sockets; j++)
            cvd_close_fd(&programs->runners[i].channels[j].qemu_fd);
}

void cvd_programs_serve(CvdPrograms *programs)
{
    handle(programs, CVD_PROGRAMS_SERVE, 0);
}

void cvd_programs_end_vm(CvdPrograms *programs)
{
    handle(programs, CVD_PROGRAMS_END_VM, 0);
}

void cvd_programs_hold_clients(CvdPrograms *programs)
{
    handle(programs, CVD_PROGRAMS_HOLD, 0);
}

void cvd_programs_admit_clients(CvdPrograms *programs)
{
    handle(programs, CVD_PROGRAMS_ADMIT, 0);
}

void cvd_programs_end(CvdPrograms *programs)
{
    handle(programs, CVD_PROGRAMS_END, 0);
}

char *cvd_programs_describe_awaited(const CvdPrograms *programs)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < programs->config->n_programs; i++)
        if (cvd_program_is_awaited(&programs->table.programs[i]))
            g_string_append_printf(text, "%s%s", text->len > 0 ? ", " : "",
                                   programs->config->programs[i].name);
    return text->len > 0 ? g_string_free(g_steal_pointer(&text), FALSE) : NULL;
}

void cvd_programs_foreach(const CvdPrograms *programs,
                          void (*func)(const CvdProgramStatus *status, gpointer user_data),
                          gpointer user_data)
{
    for (guint i = 0; i < programs->config->n_programs; i++) {
        const CvdProgram *program = &programs->table.programs[i];
        const Runner *runner = &programs->runners[i];
        CvdProgramStatus status = {
            .config = program->config,
            .state = program->state,
            .reason = runner->reason,
            .pid = runner->child != NULL ? cvd_child_get_pid(runner->child) : 0,
            .n_restarts = program->n_restarts,
            .since_us = program->since_us,
        };
        func(&status, user_data);
    }
}

static const CvdProgram *find(const CvdPrograms *programs, const char *name, GError **error)
{
    g_autoptr(GString) names = g_string_new(NULL);

    for (guint i = 0; i < programs->config->n_programs; i++) {
        const CvdProgram *program = &programs->table.programs[i];
        if (strcmp(program->config->name, name) == 0)
            return program;
        g_string_append_printf(names, "%s%s", i > 0 ? ", " : "", program->config->name);
    }
    if (names->len > 0)
        cvd_fail(error, CVD_ERROR_INVALID, "there is no program %s; there are %s", name,
                 names->str);
    else
        cvd_fail(error, CVD_ERROR_INVALID,
                 "there is no program %s, as the configuration has no \"programs\"", name);
    return NULL;
}

const CvdProgramConfig *cvd_programs_command(CvdPrograms *programs, CvdProgramCommand command,
                                             const char *name, GError **error)
{
    static const CvdProgramEvent events[] = {
        [CVD_PROGRAM_START] = CVD_PROGRAM_ASKED_START,
        [CVD_PROGRAM_STOP] = CVD_PROGRAM_ASKED_STOP,
        [CVD_PROGRAM_RESTART] = CVD_PROGRAM_ASKED_RESTART,
    };
    const CvdProgram *program = find(programs, name, error);
    const char *obstacle = program != NULL ? cvd_program_get_obstacle(program, command) : NULL;

    if (program == NULL)
        return NULL;
    if (obstacle != NULL) {
        cvd_fail(error, CVD_ERROR_BUSY, "program %s %s", name, obstacle);
        return NULL;
    }
    handle(programs, events[command], (guint)(program - programs->table.programs));
    return program->config;
}
