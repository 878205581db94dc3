/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Has the runners (runner.c) do what the table of programs (program.c) asks for. What happens to
 * one becomes an event of the table; one that happens while another is carried out waits, as in
 * launch.c.
 */
#include "launcher/programs/programs.h"

#include "base/error.h"
#include "base/log.h"
#include "base/source.h"
#include "launcher/programs/runner.h"

#include <string.h>

/* Of what a program that has failed has printed. */
#define N_LAST_LINES 3

typedef struct {
    CvdProgramEvent event;
    guint index;
} Input;

struct CvdPrograms {
    const CvdConfig *config;
    const CvdProgramsHandlers *handlers;
    gpointer user_data;
    CvdProgramTable table;
    CvdRunner **runners;
    GArray *inputs; /* events that wait until an earlier one is handled */
    GArray *vm_fds; /* QEMU's ends of all sockets */
    GSource *timer;
    char *failure; /* of the program that the machine cannot do without */
};

static void handle(CvdPrograms *programs, CvdProgramEvent event, guint index);

/* ---- What happens to one ---- */

static char *describe_follow_up(const CvdProgram *program, const CvdConfig *config)
{
    if (program->state == CVD_PROGRAM_DELAYED)
        return g_strdup_printf("; it is started again in %g s (failure %u of %u within 10 minutes)",
                               (double)((program->due_us - program->since_us) / 1000) / 1000,
                               program->retry.n_failures, config->restart_limit);
    if (program->retry.n_failures > config->restart_limit)
        return g_strdup_printf("; given up after %u failure%s within 10 minutes "
                               "(lifecycle.restart_limit is %u)",
                               program->retry.n_failures, program->retry.n_failures == 1 ? "" : "s",
                               config->restart_limit);
    return g_strdup("");
}

/* A program that puts itself into the background does this, too. */
static void report_done(const CvdProgramConfig *config)
{
    g_message("program %s has ended with status 0, and is not started again", config->name);
}

static void report(CvdPrograms *programs, guint index)
{
    const CvdRunner *runner = programs->runners[index];
    const CvdProgram *program = &programs->table.programs[index];
    const char *name = program->config->name;
    g_autofree char *follow_up = describe_follow_up(program, programs->config);
    g_auto(GStrv) lines = cvd_runner_get_last_lines(runner, N_LAST_LINES);
    g_autofree char *path = cvd_runner_get_log_path(runner);
    g_autofree char *text = g_strdup_printf("program %s %s", name, cvd_runner_get_reason(runner));

    for (char **line = lines; *line != NULL && !cvd_log_is_verbose(); line++)
        g_message("%s: %s", name, *line);
    g_warning("%s%s%s%s", text, follow_up, lines[0] != NULL ? "; its output: " : "",
              lines[0] != NULL ? path : "");
    if (program == programs->table.failed)
        programs->failure = g_steal_pointer(&text);
}

void cvd_programs_report_lost(CvdPrograms *programs)
{
    for (guint i = 0; i < programs->config->n_programs; i++)
        if (programs->table.programs[i].state == CVD_PROGRAM_LOST &&
            programs->table.programs[i].has_failed)
            report(programs, i);
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

static void carry_out(CvdPrograms *programs, guint index)
{
    CvdRunner *runner = programs->runners[index];
    const CvdProgram *program = &programs->table.programs[index];
    guint actions = program->actions;

    if ((actions & CVD_PROGRAM_REPORT) && program->state == CVD_PROGRAM_DONE)
        report_done(program->config);
    else if (actions & CVD_PROGRAM_REPORT)
        report(programs, index);
    if (actions & CVD_PROGRAM_SIGNAL)
        cvd_runner_stop(runner);
    if (actions & CVD_PROGRAM_KILL)
        cvd_runner_kill(runner);
    if (actions & CVD_PROGRAM_GIVE_UP)
        g_warning("program %s has not ended when it was killed: it hangs in a system call, and is "
                  "left behind (pid %d)",
                  programs->config->programs[index].name, cvd_runner_get_pid(runner));
    if (actions & CVD_PROGRAM_SPAWN)
        cvd_runner_spawn(runner);
}

static void step(CvdPrograms *programs, Input input)
{
    const CvdProgramsHandlers *handlers = programs->handlers;
    guint actions =
        cvd_program_table_step(&programs->table, input.event, input.index, g_get_monotonic_time());

    for (guint i = 0; i < programs->config->n_programs; i++)
        carry_out(programs, i);
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

/* ---- What the runners say ---- */

static void on_happened(const CvdProgramConfig *program, CvdProgramEvent event, gpointer data)
{
    CvdPrograms *programs = data;

    handle(programs, event, (guint)(program - programs->config->programs));
}

static void on_changed(gpointer data)
{
    const CvdPrograms *programs = data;

    programs->handlers->changed(programs->user_data);
}

static guint open_region(const CvdProgramConfig *program, const char *region, int *fds,
                         GError **error, gpointer data)
{
    const CvdPrograms *programs = data;

    return programs->handlers->open_region(program, region, fds, error, programs->user_data);
}

static void on_region_passed(guint number, pid_t pid, gpointer data)
{
    const CvdPrograms *programs = data;

    programs->handlers->region_passed(number, pid, programs->user_data);
}

static const CvdRunnerHandlers runner_handlers = {
    .happened = on_happened,
    .changed = on_changed,
    .open_region = open_region,
    .region_passed = on_region_passed,
};

void cvd_programs_client_attached(CvdPrograms *programs, pid_t pid, const char *region)
{
    for (guint i = 0; i < programs->config->n_programs; i++)
        cvd_runner_client_attached(programs->runners[i], pid, region);
}

/* ---- Interface ---- */

CvdPrograms *cvd_programs_new(const CvdConfig *config, gboolean is_restored, CvdChildren *children,
                              CvdInstanceDir *dir, CvdOutputLoad *load,
                              const CvdProgramsHandlers *handlers, gpointer user_data)
{
    CvdPrograms *programs = g_new(CvdPrograms, 1);

    *programs = (CvdPrograms){
        .config = config,
        .handlers = handlers,
        .user_data = user_data,
        .runners = g_new0(CvdRunner *, config->n_programs),
        .inputs = g_array_new(FALSE, FALSE, sizeof(Input)),
        .vm_fds = g_array_new(FALSE, FALSE, sizeof(int)),
    };
    cvd_program_table_init(&programs->table, config, is_restored);
    for (guint i = 0; i < config->n_programs; i++)
        programs->runners[i] = cvd_runner_new(config, &config->programs[i], children,
                                              cvd_output_new(dir, load, config->programs[i].name),
                                              &runner_handlers, programs);
    return programs;
}

void cvd_programs_free(CvdPrograms *programs)
{
    cvd_source_clear(&programs->timer);
    for (guint i = 0; i < programs->config->n_programs; i++)
        cvd_runner_free(programs->runners[i]);
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
        if (!cvd_runner_open_sockets(programs->runners[i], error))
            return FALSE;
    handle(programs, CVD_PROGRAMS_BEGIN_VM, 0);
    return TRUE;
}

const int *cvd_programs_get_vm_fds(const CvdPrograms *programs, guint *n_fds)
{
    g_array_set_size(programs->vm_fds, 0);
    for (guint i = 0; i < programs->config->n_programs; i++)
        cvd_runner_append_vm_fds(programs->runners[i], programs->vm_fds);
    *n_fds = programs->vm_fds->len;
    return (const int *)(gpointer)programs->vm_fds->data;
}

void cvd_programs_close_vm_fds(CvdPrograms *programs)
{
    for (guint i = 0; i < programs->config->n_programs; i++)
        cvd_runner_close_vm_fds(programs->runners[i]);
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

static const char *why_awaited(const CvdProgram *program)
{
    switch (program->state) {
    case CVD_PROGRAM_WAITING:
        return "not started yet";
    case CVD_PROGRAM_DELAYED:
        return "has failed, and is started again";
    case CVD_PROGRAM_STOPPING:
    case CVD_PROGRAM_KILLING:
        return "is being stopped";
    case CVD_PROGRAM_STARTING:
        if (program->config->oneshot)
            return "has not ended";
        if (program->config->ready == CVD_READY_NOTIFY)
            return "has not sent READY=1";
        return program->config->ready == CVD_READY_ATTACHED ? "has not attached to all its regions"
                                                            : "does not listen yet";
    case CVD_PROGRAM_READY:
    case CVD_PROGRAM_LOST:
    case CVD_PROGRAM_DONE:
    case CVD_PROGRAM_STOPPED:
    case CVD_PROGRAM_FAILED:
        break;
    }
    return "has ended";
}

char *cvd_programs_describe_awaited(const CvdPrograms *programs)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < programs->config->n_programs; i++)
        if (cvd_program_is_awaited(&programs->table.programs[i]))
            g_string_append_printf(text, "%s%s (%s)", text->len > 0 ? ", " : "",
                                   programs->config->programs[i].name,
                                   why_awaited(&programs->table.programs[i]));
    return text->len > 0 ? g_string_free(g_steal_pointer(&text), FALSE) : NULL;
}

char *cvd_programs_describe_running(const CvdPrograms *programs)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < programs->config->n_programs; i++)
        if (cvd_program_is_running(&programs->table.programs[i]))
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
        const CvdRunner *runner = programs->runners[i];
        CvdProgramStatus status = {
            .config = program->config,
            .state = program->state,
            .reason = cvd_runner_get_reason(runner),
            .pid = cvd_runner_get_pid(runner),
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
