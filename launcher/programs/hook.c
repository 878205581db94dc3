/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/programs/hook.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/source.h"
#include "launcher/config/substitute.h"
#include "launcher/programs/environment.h"
#include "launcher/programs/program.h"

#include <signal.h>
#include <string.h>

struct CvdHook {
    CvdHookKind kind;
    const char *key;
    char *program;
    guint timeout_s;
    CvdOutput *output;
    CvdChild *child; /* NULL: it could not be started */
    GSource *timer;  /* until its time limit, until it is given up after that, or until it is told
                        that it did not start */
    gboolean is_late;
    GError *start_error;
    CvdHookDone done;
    gpointer user_data;
};

static char **get_command(const CvdHooks *hooks, CvdHookKind kind, const char **key)
{
    switch (kind) {
    case CVD_HOOK_BEFORE_START:
        *key = "hooks.before_start";
        return hooks->before_start;
    case CVD_HOOK_AFTER_READY:
        *key = "hooks.after_ready";
        return hooks->after_ready;
    case CVD_HOOK_AFTER_STOP:
        *key = "hooks.after_stop";
        return hooks->after_stop;
    }
    g_assert_not_reached();
}

/* ---- Its end ---- */

/* What it has said last is most likely why. Returns: (transfer full): to put after the message */
static char *describe_output(const CvdHook *hook)
{
    g_auto(GStrv) lines = cvd_output_get_last_lines(hook->output, 1);
    g_autofree char *path = cvd_output_get_path(hook->output);

    if (lines[0] == NULL)
        return g_strdup("");
    if (hook->kind == CVD_HOOK_AFTER_STOP) /* the file is removed next */
        return g_strdup_printf(": %s", lines[0]);
    return g_strdup_printf(": %s (all of it: %s)", lines[0], path);
}

static GError *describe_end(const CvdHook *hook, CvdExit how)
{
    GError *error = NULL;

    if (!how.is_signal && how.value == 0)
        return NULL;
    if (hook->is_late && how.is_signal) {
        cvd_fail(&error, CVD_ERROR_FAILED,
                 "%s: %s was killed, as it took longer than %u s; hooks.timeout_s sets that limit",
                 hook->key, hook->program, hook->timeout_s);
        return error;
    }
    g_autofree char *end = cvd_exit_describe(how);
    g_autofree char *output = describe_output(hook);
    cvd_fail(&error, CVD_ERROR_FAILED, "%s: %s %s%s", hook->key, hook->program, end, output);
    return error;
}

static void on_exited(CvdExit how, gpointer data)
{
    CvdHook *hook = data;

    cvd_source_clear(&hook->timer);
    cvd_output_read_rest(hook->output);
    g_autoptr(GError) error = describe_end(hook, how);
    hook->done(error, hook->user_data);
}

static gboolean on_not_started(gpointer data)
{
    CvdHook *hook = data;
    g_autoptr(GError) error = g_steal_pointer(&hook->start_error);

    cvd_source_clear(&hook->timer);
    hook->done(error, hook->user_data);
    return G_SOURCE_REMOVE;
}

/* It is in a system call that cannot be interrupted. */
static gboolean on_given_up(gpointer data)
{
    CvdHook *hook = data;
    g_autoptr(GError) error = NULL;

    cvd_source_clear(&hook->timer);
    cvd_fail(&error, CVD_ERROR_FAILED,
             "%s: %s took longer than %u s and has not ended when it was killed: it hangs in a "
             "system call, and is left behind (pid %d)",
             hook->key, hook->program, hook->timeout_s, cvd_child_get_pid(hook->child));
    hook->done(error, hook->user_data);
    return G_SOURCE_REMOVE;
}

/* on_exited() follows. */
static gboolean on_late(gpointer data)
{
    CvdHook *hook = data;

    cvd_source_clear(&hook->timer);
    hook->is_late = TRUE;
    cvd_child_kill_group(hook->child, SIGKILL);
    cvd_source_set_timer(&hook->timer, g_get_monotonic_time() + CVD_PROGRAM_KILL_US, on_given_up,
                         hook);
    return G_SOURCE_REMOVE;
}

/* ---- Its start ---- */

static void spawn(CvdHook *hook, CvdChildren *children, const CvdConfig *config, char **argv)
{
    static const CvdChildHandlers handlers = {.exited = on_exited};
    g_auto(GStrv) base = g_get_environ();
    g_auto(CvdProgramEnvironment) environment = cvd_program_environment(config, base, NULL, NULL);
    g_autoptr(GError) reason = NULL;
    cvd_autofd output = cvd_output_open(hook->output, &reason);
    const CvdSpawn how = {
        .argv = argv,
        .environment = environment.variables,
        .directory = config->directory,
        .output = output,
    };

    if (output >= 0)
        hook->child = cvd_child_spawn(children, &how, &handlers, hook, &reason);
    if (hook->child == NULL)
        cvd_fail(&hook->start_error, CVD_ERROR_FAILED, "%s: cannot be started: %s", hook->key,
                 reason->message);
}

static char **expand(const CvdConfig *config, char **command)
{
    char **argv = g_new0(char *, g_strv_length(command) + 1);

    for (gsize i = 0; command[i] != NULL; i++)
        argv[i] = cvd_substitute(config, NULL, command[i]);
    return argv;
}

CvdHook *cvd_hook_run(const CvdConfig *config, CvdChildren *children, CvdOutput *output,
                      CvdHookKind kind, CvdHookDone done, gpointer user_data)
{
    const char *key;
    char **command = get_command(&config->hooks, kind, &key);

    if (command == NULL || command[0] == NULL)
        return NULL;
    g_auto(GStrv) argv = expand(config, command);
    CvdHook *hook = g_new(CvdHook, 1);
    *hook = (CvdHook){.kind = kind,
                      .key = key,
                      .program = g_path_get_basename(argv[0]),
                      .timeout_s = config->hooks.timeout_s,
                      .output = output,
                      .done = done,
                      .user_data = user_data};
    guint n_held_back = cvd_fd_hold_back(0); /* clients may have all the others */
    spawn(hook, children, config, argv);
    cvd_fd_hold_back(n_held_back);
    gint64 now_us = g_get_monotonic_time();
    if (hook->child == NULL)
        cvd_source_set_timer(&hook->timer, now_us, on_not_started, hook);
    else
        cvd_source_set_timer(&hook->timer, now_us + hook->timeout_s * G_TIME_SPAN_SECOND, on_late,
                             hook);
    return hook;
}

void cvd_hook_free(CvdHook *hook)
{
    cvd_source_clear(&hook->timer);
    g_clear_pointer(&hook->child, cvd_child_free);
    g_clear_error(&hook->start_error);
    g_free(hook->program);
    g_free(hook);
}

const char *cvd_hook_get_name(const CvdHook *hook)
{
    return hook->key;
}
