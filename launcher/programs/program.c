/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An event changes the state of one program or of all. What follows for the others is found
 * afterwards, by looking at each: whether it may start now, or has to end.
 */
#include "launcher/programs/program.h"

#define AT_ONCE_US 1000
/* Of one whose regions were gone before it was started. */
#define WITHOUT_REGIONS_US (100 * G_TIME_SPAN_MILLISECOND)

const char *cvd_program_state_get_name(CvdProgramState state)
{
    static const char *const names[] = {
        [CVD_PROGRAM_WAITING] = "waiting",  [CVD_PROGRAM_STARTING] = "starting",
        [CVD_PROGRAM_READY] = "ready",      [CVD_PROGRAM_DELAYED] = "restarting",
        [CVD_PROGRAM_LOST] = "ended",       [CVD_PROGRAM_STOPPING] = "stopping",
        [CVD_PROGRAM_KILLING] = "stopping", [CVD_PROGRAM_DONE] = "done",
        [CVD_PROGRAM_STOPPED] = "stopped",  [CVD_PROGRAM_FAILED] = "failed",
    };

    return names[state];
}

/* ---- Questions ---- */

gboolean cvd_program_is_settled(CvdProgramState state)
{
    return state != CVD_PROGRAM_WAITING && state != CVD_PROGRAM_STARTING &&
           state != CVD_PROGRAM_STOPPING && state != CVD_PROGRAM_KILLING;
}

gboolean cvd_program_is_back_end(const CvdProgramConfig *config)
{
    return config->n_sockets > 0;
}

/* Each VM has its own of these. */
static gboolean is_bound_to_vm(const CvdProgramConfig *config)
{
    return cvd_program_is_back_end(config) || config->pass_fds || config->oneshot;
}

/* Without its back ends QEMU does not start. */
static gboolean is_needed(const CvdProgramTable *table, const CvdProgramConfig *config)
{
    return config->critical || config->oneshot ||
           (cvd_program_is_back_end(config) && !table->is_ready);
}

gboolean cvd_program_is_running(const CvdProgram *program)
{
    return program->state == CVD_PROGRAM_STARTING || program->state == CVD_PROGRAM_READY ||
           program->state == CVD_PROGRAM_STOPPING || program->state == CVD_PROGRAM_KILLING;
}

/* It is on its way down, and then waits to be started again. */
static gboolean is_replaced(const CvdProgram *program)
{
    return (program->state == CVD_PROGRAM_STOPPING || program->state == CVD_PROGRAM_KILLING) &&
           program->next == CVD_PROGRAM_WAITING;
}

gboolean cvd_program_is_awaited(const CvdProgram *program)
{
    return program->state == CVD_PROGRAM_WAITING || program->state == CVD_PROGRAM_STARTING ||
           program->state == CVD_PROGRAM_DELAYED || program->state == CVD_PROGRAM_LOST ||
           is_replaced(program);
}

static gboolean comes_after(const CvdProgram *program, const CvdProgram *other)
{
    char **after = program->config->after;

    return after != NULL && g_strv_contains((const char *const *)after, other->config->name);
}

static gboolean may_start(const CvdProgramTable *table, const CvdProgram *program)
{
    const CvdProgramConfig *config = program->config;

    if (program->state != CVD_PROGRAM_WAITING || !table->is_serving || table->is_ending ||
        (is_bound_to_vm(config) && !table->has_vm) || (config->pass_fds && table->is_held))
        return FALSE;
    for (guint i = 0; i < table->config->n_programs; i++)
        if (comes_after(program, &table->programs[i]) &&
            cvd_program_is_awaited(&table->programs[i]))
            return FALSE;
    return TRUE;
}

/* When all are to end: once those that came after it have. */
static gboolean may_end(const CvdProgramTable *table, const CvdProgram *program)
{
    for (guint i = 0; i < table->config->n_programs; i++)
        if (comes_after(&table->programs[i], program) &&
            cvd_program_is_running(&table->programs[i]))
            return FALSE;
    return TRUE;
}

static gboolean has_path(const CvdProgramConfig *config)
{
    for (guint i = 0; i < config->n_sockets; i++)
        if (config->sockets[i].kind == CVD_SOCKET_PATH)
            return TRUE;
    return FALSE;
}

/* The others' sockets are there before their programs are. */
static gboolean is_qemu_waiting_for(const CvdProgram *program)
{
    return cvd_program_is_back_end(program->config) &&
           (has_path(program->config) ? program->state != CVD_PROGRAM_READY : is_replaced(program));
}

const char *cvd_program_get_obstacle(const CvdProgram *program, CvdProgramCommand command)
{
    if (cvd_program_is_back_end(program->config))
        return "is a back end of QEMU; 'cvd-ctl restart' starts both anew";
    if (command == CVD_PROGRAM_START &&
        (cvd_program_is_running(program) || program->state == CVD_PROGRAM_WAITING))
        return cvd_program_is_running(program) ? "is running" : "is about to be started";
    return NULL;
}

/* ---- Changes ---- */

static void set_state(CvdProgram *program, CvdProgramState state, gint64 now_us)
{
    if (program->state != state)
        g_debug("program %s: %s", program->config->name, cvd_program_state_get_name(state));
    program->state = state;
    program->since_us = now_us;
    program->due_us = 0;
}

/* @next: of one that has no process: its state at once */
static void end(CvdProgram *program, CvdProgramState next, gint64 now_us)
{
    program->next = next;
    if (program->state == CVD_PROGRAM_STOPPING || program->state == CVD_PROGRAM_KILLING)
        return;
    if (!cvd_program_is_running(program)) {
        set_state(program, next, now_us);
        return;
    }
    set_state(program, CVD_PROGRAM_STOPPING, now_us);
    program->due_us = now_us + program->config->stop_timeout_s * G_TIME_SPAN_SECOND;
    program->actions |= CVD_PROGRAM_SIGNAL;
}

static void kill_now(CvdProgram *program, gint64 now_us)
{
    set_state(program, CVD_PROGRAM_KILLING, now_us);
    program->due_us = now_us + CVD_PROGRAM_KILL_US;
    program->actions |= CVD_PROGRAM_KILL;
}

/* It is in a system call that cannot be interrupted. */
static void give_up(CvdProgram *program)
{
    program->due_us = 0;
    program->actions |= CVD_PROGRAM_GIVE_UP;
}

static guint fail(CvdProgramTable *table, CvdProgram *program, gint64 now_us)
{
    set_state(program, CVD_PROGRAM_FAILED, now_us);
    program->actions |= CVD_PROGRAM_REPORT;
    if (!is_needed(table, program->config) || table->is_ending || table->failed != NULL)
        return 0;
    table->failed = program;
    return CVD_PROGRAMS_FAILED;
}

/* Many programs end when their regions are closed under them, and some do not mind for a while. */
static gboolean has_lost_regions(const CvdProgramTable *table, const CvdProgram *program,
                                 gint64 now_us)
{
    return program->config->regions[0] != NULL && table->closed_us != 0 &&
           now_us - table->closed_us < CVD_PROGRAM_CLOSED_US;
}

/* One that was of use for a while, and has ended as it should, has not failed. */
static guint restart(CvdProgramTable *table, CvdProgram *program, gboolean is_success,
                     gint64 now_us)
{
    gboolean was_closed = has_lost_regions(table, program, now_us);
    gboolean is_early = !is_success || now_us - program->start_us < CVD_RETRY_EARLY_US;
    gint64 due_us = is_early && !was_closed
                        ? cvd_retry_count(&program->retry, table->config, now_us)
                        : now_us + AT_ONCE_US;

    if (was_closed && program->start_us > table->closed_us)
        due_us = now_us + WITHOUT_REGIONS_US;
    if (due_us == 0)
        return fail(table, program, now_us);
    set_state(program, CVD_PROGRAM_DELAYED, now_us);
    program->due_us = due_us;
    program->n_restarts += was_closed ? 0 : 1;
    program->actions |= was_closed ? 0 : CVD_PROGRAM_REPORT;
    return 0;
}

/* It has ended, and nobody here had asked for that. One that was not ready yet has failed. */
static guint ended_by_itself(CvdProgramTable *table, CvdProgram *program, gboolean is_success,
                             gint64 now_us)
{
    const CvdProgramConfig *config = program->config;

    if (program->state == CVD_PROGRAM_STARTING && !config->oneshot)
        is_success = FALSE;
    if (cvd_program_is_back_end(config)) {
        set_state(program, CVD_PROGRAM_LOST, now_us);
        program->due_us = now_us + CVD_PROGRAM_LOST_US;
        return 0;
    }
    if (!config->oneshot && (config->restart == CVD_RESTART_ALWAYS ||
                             (config->restart == CVD_RESTART_ON_FAILURE && !is_success)))
        return restart(table, program, is_success, now_us);
    if (!is_success)
        return fail(table, program, now_us);
    set_state(program, CVD_PROGRAM_DONE, now_us);
    program->actions |= config->oneshot ? 0 : CVD_PROGRAM_REPORT;
    return 0;
}

static guint ended(CvdProgramTable *table, CvdProgram *program, gboolean is_success, gint64 now_us)
{
    program->has_failed = !is_success;
    if (program->state != CVD_PROGRAM_STOPPING && program->state != CVD_PROGRAM_KILLING)
        return ended_by_itself(table, program, is_success, now_us);
    set_state(program, program->next, now_us);
    program->next = CVD_PROGRAM_DONE;
    return 0;
}

static void command(CvdProgram *program, CvdProgramEvent event, gint64 now_us)
{
    cvd_retry_clear(&program->retry);
    end(program, event == CVD_PROGRAM_ASKED_STOP ? CVD_PROGRAM_STOPPED : CVD_PROGRAM_WAITING,
        now_us);
}

static guint time_passed(CvdProgramTable *table, CvdProgram *program, gint64 now_us)
{
    if (program->due_us == 0 || now_us < program->due_us)
        return 0;
    if (program->state == CVD_PROGRAM_DELAYED)
        set_state(program, CVD_PROGRAM_WAITING, now_us);
    else if (program->state == CVD_PROGRAM_LOST)
        return fail(table, program, now_us);
    else if (program->state == CVD_PROGRAM_STOPPING)
        kill_now(program, now_us);
    else
        give_up(program);
    return 0;
}

/* Its work is in the snapshot. */
static gboolean is_left_out(const CvdProgramTable *table, const CvdProgramConfig *config)
{
    return table->is_restored && config->oneshot && !config->on_restore;
}

/* What has to be new for the next one; a user's wish to have one stopped outlives the VM. */
static void end_vm(const CvdProgramTable *table, CvdProgram *program, gint64 now_us)
{
    if (is_bound_to_vm(program->config) && program->state != CVD_PROGRAM_STOPPED)
        end(program, is_left_out(table, program->config) ? CVD_PROGRAM_DONE : CVD_PROGRAM_WAITING,
            now_us);
}

static void for_all(CvdProgramTable *table, CvdProgramEvent event, gint64 now_us)
{
    for (guint i = 0; i < table->config->n_programs; i++) {
        CvdProgram *program = &table->programs[i];
        if (event == CVD_PROGRAMS_END_VM)
            end_vm(table, program, now_us);
        else if (event == CVD_PROGRAMS_HOLD && program->config->pass_fds &&
                 program->state != CVD_PROGRAM_STOPPED)
            end(program, CVD_PROGRAM_WAITING, now_us);
        else if (event == CVD_PROGRAMS_END && table->is_ending && cvd_program_is_running(program))
            kill_now(program, now_us);
    }
}

static guint take(CvdProgramTable *table, CvdProgramEvent event, CvdProgram *program, gint64 now_us)
{
    guint actions = 0;

    switch (event) {
    case CVD_PROGRAM_SPAWNED:
        if (program->state == CVD_PROGRAM_STARTING && program->config->ready == CVD_READY_STARTED &&
            !program->config->oneshot && !has_path(program->config))
            set_state(program, CVD_PROGRAM_READY, now_us);
        break;
    case CVD_PROGRAM_REPORTED_READY:
        if (program->state == CVD_PROGRAM_STARTING && !program->config->oneshot)
            set_state(program, CVD_PROGRAM_READY, now_us);
        break;
    case CVD_PROGRAM_SUCCEEDED:
    case CVD_PROGRAM_ENDED:
        return ended(table, program, event == CVD_PROGRAM_SUCCEEDED, now_us);
    case CVD_PROGRAM_ASKED_START:
    case CVD_PROGRAM_ASKED_STOP:
    case CVD_PROGRAM_ASKED_RESTART:
        command(program, event, now_us);
        break;
    case CVD_PROGRAMS_SERVE:
        table->is_serving = TRUE;
        break;
    case CVD_PROGRAMS_BEGIN_VM:
        table->has_vm = TRUE;
        table->is_prepared = table->is_ready = FALSE;
        break;
    case CVD_PROGRAMS_END_VM:
        table->has_vm = FALSE;
        table->closed_us = now_us;
        for_all(table, event, now_us);
        break;
    case CVD_PROGRAMS_HOLD:
        table->is_held = TRUE;
        table->closed_us = now_us;
        for_all(table, event, now_us);
        break;
    case CVD_PROGRAMS_ADMIT:
        table->is_held = FALSE;
        break;
    case CVD_PROGRAMS_END:
        for_all(table, event, now_us);
        table->is_ending = TRUE;
        break;
    case CVD_PROGRAMS_TIMER:
        for (guint i = 0; i < table->config->n_programs; i++)
            actions |= time_passed(table, &table->programs[i], now_us);
        break;
    }
    return actions;
}

static void drive(CvdProgramTable *table, CvdProgram *program, gint64 now_us)
{
    gboolean is_up = program->state == CVD_PROGRAM_STARTING || program->state == CVD_PROGRAM_READY;

    if (may_start(table, program)) {
        set_state(program, CVD_PROGRAM_STARTING, now_us);
        program->start_us = now_us;
        program->actions |= CVD_PROGRAM_SPAWN;
    } else if (table->is_ending && is_up && may_end(table, program)) {
        end(program, CVD_PROGRAM_STOPPED, now_us);
    } else if (table->is_ending && !cvd_program_is_running(program)) {
        program->due_us = 0;
    }
}

/* Each is said once. */
static guint look(CvdProgramTable *table)
{
    gboolean is_prepared = table->has_vm, is_ready = table->has_vm, is_ended = table->is_ending;
    guint actions = 0;

    for (guint i = 0; i < table->config->n_programs; i++) {
        const CvdProgram *program = &table->programs[i];
        is_prepared &= !is_qemu_waiting_for(program);
        is_ready &= !cvd_program_is_awaited(program);
        is_ended &= !cvd_program_is_running(program) ||
                    (program->state == CVD_PROGRAM_KILLING && program->due_us == 0);
    }
    if (is_prepared && !table->is_prepared)
        actions |= CVD_PROGRAMS_PREPARED;
    if (is_ready && table->is_serving && !table->is_ready && table->failed == NULL)
        actions |= CVD_PROGRAMS_READY;
    if (is_ended && !table->is_ended)
        actions |= CVD_PROGRAMS_ENDED;
    table->is_prepared |= (actions & CVD_PROGRAMS_PREPARED) != 0;
    table->is_ready |= (actions & CVD_PROGRAMS_READY) != 0;
    table->is_ended |= (actions & CVD_PROGRAMS_ENDED) != 0;
    return actions;
}

guint cvd_program_table_step(CvdProgramTable *table, CvdProgramEvent event, guint index,
                             gint64 now_us)
{
    for (guint i = 0; i < table->config->n_programs; i++)
        table->programs[i].actions = 0;

    guint actions = take(table, event, &table->programs[index], now_us);
    for (guint i = 0; i < table->config->n_programs; i++)
        drive(table, &table->programs[i], now_us);
    return actions | look(table);
}

gint64 cvd_program_table_get_due_us(const CvdProgramTable *table)
{
    gint64 due_us = 0;

    for (guint i = 0; i < table->config->n_programs; i++) {
        gint64 own_us = table->programs[i].due_us;
        if (own_us != 0)
            due_us = due_us == 0 ? own_us : MIN(due_us, own_us);
    }
    return due_us;
}

void cvd_program_table_init(CvdProgramTable *table, const CvdConfig *config, gboolean is_restored)
{
    *table = (CvdProgramTable){.config = config,
                               .is_restored = is_restored,
                               .programs = g_new0(CvdProgram, config->n_programs + 1)};
    for (guint i = 0; i < config->n_programs; i++) {
        CvdProgram *program = &table->programs[i];
        program->config = &config->programs[i];
        program->state =
            is_left_out(table, program->config) ? CVD_PROGRAM_DONE : CVD_PROGRAM_WAITING;
        program->next = CVD_PROGRAM_DONE;
    }
}

void cvd_program_table_clear(CvdProgramTable *table)
{
    for (guint i = 0; i < table->config->n_programs; i++)
        cvd_retry_clear(&table->programs[i].retry);
    g_clear_pointer(&table->programs, g_free);
}
