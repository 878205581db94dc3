/* SPDX-License-Identifier: Apache-2.0 */
/* Stories of host programs: what happens, and what follows from it. */
#include "launcher/programs/program.h"

#include <string.h>

#define RESTART_LIMIT 2

/*
 * @programs: `NAME` with words after it, between colons, and programs between spaces: `oneshot`,
 *   `on-restore`, `critical`, `always`, `never`, `notify`, `region`, `pass`, `listen`, `path`,
 * `after=OTHER`
 * @story: `from-snapshot` if the VMs are; steps between spaces, `>` before what follows from the
 * one before: `NAME:ACTION`, or what is said of all. Steps: `serve`, `begin-vm`, `end-vm`, `hold`,
 * `admit`, `end`, `+MILLISECONDS` with the timer that is due then, and `NAME:EVENT`
 */
typedef struct {
    const char *title;
    const char *programs;
    const char *story;
} Story;

static const char *const event_names[] = {
    [CVD_PROGRAM_SPAWNED] = "spawned",
    [CVD_PROGRAM_REPORTED_READY] = "ready",
    [CVD_PROGRAM_SUCCEEDED] = "exit-0",
    [CVD_PROGRAM_ENDED] = "crash",
    [CVD_PROGRAM_ASKED_START] = "ask-start",
    [CVD_PROGRAM_ASKED_STOP] = "ask-stop",
    [CVD_PROGRAM_ASKED_RESTART] = "ask-restart",
    [CVD_PROGRAMS_SERVE] = "serve",
    [CVD_PROGRAMS_BEGIN_VM] = "begin-vm",
    [CVD_PROGRAMS_END_VM] = "end-vm",
    [CVD_PROGRAMS_HOLD] = "hold",
    [CVD_PROGRAMS_ADMIT] = "admit",
    [CVD_PROGRAMS_END] = "end",
    [CVD_PROGRAMS_TIMER] = "timer",
};

static const Story stories[] = {
    {"runs-at-once", "a b",
     "serve > a:spawn b:spawn  a:spawned  b:spawned  begin-vm > prepared ready"},
    {"guest-waits-until-ready", "a:notify b",
     "serve > a:spawn b:spawn  b:spawned  a:spawned  begin-vm > prepared  a:ready > ready"},
    {"one-after-the-other", "a:notify b:after=a c:after=b",
     "begin-vm > prepared  serve > a:spawn  a:spawned  a:ready > b:spawn  b:spawned > c:spawn"
     "  c:spawned > ready"},
    {"end-in-reverse-order", "a b:after=a c:after=b",
     "serve > a:spawn  a:spawned > b:spawn  b:spawned > c:spawn  c:spawned  begin-vm > prepared "
     "ready"
     "  end > c:signal  c:exit-0 > b:signal  b:crash > a:signal  a:exit-0 > ended"},
    {"end-kills-who-does-not", "a",
     "serve > a:spawn  a:spawned  end > a:signal  +5000 > a:kill  a:crash > ended"},
    {"end-twice-kills", "a b:after=a",
     "serve > a:spawn  a:spawned > b:spawn  b:spawned  end > b:signal  end > a:kill b:kill"
     "  b:crash  a:crash > ended"},
    {"end-leaves-who-cannot-die", "a",
     "serve > a:spawn  a:spawned  end > a:signal  +5000 > a:kill  +799  +1 > a:give-up ended  "
     "+60000"},
    {"end-while-it-is-delayed", "a",
     "serve > a:spawn  a:spawned  a:crash > a:report  end > ended  +1000"},
    {"end-of-nobody", "a", "end > ended"},
    {"restart-after-a-failure", "a",
     "serve > a:spawn  a:spawned  a:crash > a:report  +999  +1 > a:spawn  a:spawned"},
    {"gives-up", "a",
     "serve > a:spawn  a:spawned  a:crash > a:report  +1000 > a:spawn  a:spawned"
     "  a:crash > a:report  +2000 > a:spawn  a:spawned  a:crash > a:report  +60000"
     "  begin-vm > prepared ready"},
    {"critical-gives-up", "a:critical",
     "serve > a:spawn  a:spawned  a:crash > a:report  +1000 > a:spawn  a:spawned"
     "  a:crash > a:report  +2000 > a:spawn  a:spawned  a:crash > a:report failed"},
    {"critical-that-is-done", "a:critical",
     "serve > a:spawn  a:spawned  +60000  a:exit-0 > a:report  +60000"},
    {"done-is-no-failure", "a", "serve > a:spawn  a:spawned  a:exit-0 > a:report  +60000"},
    {"never-restarted", "a:never:critical",
     "serve > a:spawn  a:spawned  a:crash > a:report failed"},
    {"always-restarted-at-once-after-a-while", "a:always",
     "serve > a:spawn  a:spawned  +10000  a:exit-0 > a:report  +1 > a:spawn"},
    {"always-that-ends-soon-counts", "a:always",
     "serve > a:spawn  a:spawned  +9999  a:exit-0 > a:report  +999  +1 > a:spawn"},
    {"ends-before-it-is-ready", "a:notify:never",
     "serve > a:spawn  a:spawned  begin-vm > prepared  a:exit-0 > a:report ready"},
    {"cannot-be-started", "a", "serve > a:spawn  a:crash > a:report  +1000 > a:spawn"},
    {"failed-holds-up-nobody", "a:notify:never b:after=a",
     "serve > a:spawn  a:spawned  a:crash > a:report b:spawn"},
    {"oneshot", "a:oneshot b:after=a",
     "serve  begin-vm > a:spawn prepared  a:spawned  a:exit-0 > b:spawn  b:spawned > ready"
     "  end-vm  begin-vm > a:spawn prepared  a:spawned  a:exit-0 > ready"},
    {"oneshot-fails", "a:oneshot",
     "serve  begin-vm > a:spawn prepared  a:spawned  a:crash > a:report failed"},
    {"oneshot-is-in-the-snapshot", "a:oneshot b:after=a",
     "from-snapshot  serve > b:spawn  b:spawned  begin-vm > prepared ready  end-vm  begin-vm > "
     "prepared ready"
     "  a:ask-start > a:spawn  a:spawned  end-vm > a:signal  a:crash  begin-vm > prepared ready"},
    {"oneshot-for-each-restored-vm", "a:oneshot:on-restore",
     "from-snapshot  serve  begin-vm > a:spawn prepared  a:spawned  a:exit-0 > ready"
     "  end-vm  begin-vm > a:spawn prepared  a:spawned  a:exit-0 > ready"},
    {"others-run-in-a-restored-vm", "a:listen b:region:pass c",
     "from-snapshot  serve > c:spawn  c:spawned  begin-vm > a:spawn b:spawn prepared  a:spawned  "
     "b:spawned > "
     "ready"},
    {"oneshot-when-the-vm-is-gone", "a:oneshot",
     "serve  begin-vm > a:spawn prepared  a:spawned  end-vm > a:signal  begin-vm > prepared"
     "  a:crash > a:spawn"},
    {"back-end-is-new-for-each-vm", "a:listen",
     "begin-vm > prepared  serve > a:spawn  a:spawned > ready  end-vm > a:signal  begin-vm"
     "  a:exit-0 > a:spawn prepared  a:spawned > ready"},
    {"back-end-ends-with-its-qemu", "a:listen:critical",
     "begin-vm > prepared  serve > a:spawn  a:spawned > ready  a:exit-0  +499  end-vm"
     "  begin-vm > a:spawn prepared"},
    {"back-end-dies", "a:listen",
     "begin-vm > prepared  serve > a:spawn  a:spawned > ready  a:crash  +500 > a:report  +60000"},
    {"critical-back-end-dies", "a:listen:critical",
     "begin-vm > prepared  serve > a:spawn  a:spawned > ready  a:crash  +500 > a:report failed"},
    {"back-end-dies-before-the-guest-runs", "a:listen b:notify",
     "begin-vm > prepared  serve > a:spawn b:spawn  a:spawned  b:spawned  a:crash"
     "  +500 > a:report failed"},
    {"qemu-waits-for-a-path", "a:path",
     "serve  begin-vm > a:spawn  a:spawned  a:ready > prepared ready"},
    {"regions-are-passed-anew", "a:pass:region",
     "serve  begin-vm > a:spawn prepared  a:spawned > ready  hold > a:signal  a:crash"
     "  admit > a:spawn  a:spawned  end-vm > a:signal  a:crash  begin-vm > a:spawn prepared"
     "  a:spawned > ready"},
    {"who-loses-its-region-has-not-failed", "a:region",
     "serve > a:spawn  a:spawned  begin-vm > prepared ready  end-vm  a:crash  +1 > a:spawn"
     "  a:spawned  a:crash  +99  +1 > a:spawn  a:spawned  +2000  a:crash > a:report"},
    {"who-cannot-die-keeps-its-place", "a",
     "serve > a:spawn  a:spawned  a:ask-restart > a:signal  +5000 > a:kill  +800 > a:give-up"
     "  +60000  a:crash > a:spawn"},
    {"asked-to-stop", "a",
     "serve > a:spawn  a:spawned  begin-vm > prepared ready  a:ask-stop > a:signal  a:crash"
     "  +60000  end-vm  begin-vm > prepared ready  a:ask-start > a:spawn"},
    {"asked-to-restart", "a",
     "serve > a:spawn  a:spawned  a:ask-restart > a:signal  a:crash > a:spawn"},
    {"asked-to-start-what-has-failed", "a:never",
     "serve > a:spawn  a:spawned  a:crash > a:report  a:ask-start > a:spawn"},
    {"asked-to-start-while-it-stops", "a",
     "serve > a:spawn  a:spawned  a:ask-stop > a:signal  a:ask-start  a:exit-0 > a:spawn"},
    {"nothing-starts-at-the-end", "a b:after=a",
     "serve > a:spawn  end > a:signal  a:spawned  a:exit-0 > ended"},
};

static void set_word(CvdProgramConfig *config, const char *word)
{
    static CvdSocketConfig listening = {(char *)"s", CVD_SOCKET_LISTEN};
    static CvdSocketConfig bound = {(char *)"s", CVD_SOCKET_PATH};

    if (g_str_has_prefix(word, "after="))
        config->after = g_strsplit(word + strlen("after="), ",", -1);
    config->oneshot |= strcmp(word, "oneshot") == 0;
    config->on_restore |= strcmp(word, "on-restore") == 0;
    config->critical |= strcmp(word, "critical") == 0;
    config->pass_fds |= strcmp(word, "pass") == 0;
    if (strcmp(word, "always") == 0)
        config->restart = CVD_RESTART_ALWAYS;
    else if (strcmp(word, "never") == 0)
        config->restart = CVD_RESTART_NEVER;
    else if (strcmp(word, "notify") == 0)
        config->ready = CVD_READY_NOTIFY;
    else if (strcmp(word, "region") == 0)
        config->regions[0] = g_strdup("hwcomposer");
    else if (strcmp(word, "listen") == 0 || strcmp(word, "path") == 0) {
        config->sockets = word[0] == 'l' ? &listening : &bound;
        config->n_sockets = 1;
    }
}

static CvdConfig make_config(const char *text)
{
    g_auto(GStrv) programs = g_strsplit(text, " ", -1);
    CvdConfig config = {.restart_limit = RESTART_LIMIT, .restart_delay_ms = 1000};

    config.n_programs = g_strv_length(programs);
    config.programs = g_new0(CvdProgramConfig, config.n_programs);
    for (guint i = 0; i < config.n_programs; i++) {
        g_auto(GStrv) words = g_strsplit(programs[i], ":", -1);
        config.programs[i] = (CvdProgramConfig){.name = g_strdup(words[0]),
                                                .regions = g_new0(char *, 2),
                                                .restart = CVD_RESTART_ON_FAILURE,
                                                .stop_timeout_s = 5};
        for (guint j = 1; words[j] != NULL; j++)
            set_word(&config.programs[i], words[j]);
    }
    return config;
}

static void clear_config(CvdConfig *config)
{
    for (guint i = 0; i < config->n_programs; i++) {
        g_free(config->programs[i].name);
        g_strfreev(config->programs[i].after);
        g_strfreev(config->programs[i].regions);
    }
    g_free(config->programs);
}

static CvdProgramEvent find_event(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(event_names); i++)
        if (strcmp(event_names[i], name) == 0)
            return (CvdProgramEvent)i;
    g_error("no event %s", name);
}

static guint find_program(const CvdConfig *config, const char *name)
{
    for (guint i = 0; i < config->n_programs; i++)
        if (strcmp(config->programs[i].name, name) == 0)
            return i;
    g_error("no program %s", name);
}

static void append_bits(GString *text, const char *prefix, guint bits, const char *const *names)
{
    for (guint i = 0; names[i] != NULL; i++)
        if (bits & (1U << i))
            g_string_append_printf(text, "%s%s%s", text->len > 0 ? " " : "", prefix, names[i]);
}

/* Adds what follows from the step to @followed. */
static void take_step(CvdProgramTable *table, const char *step, gint64 *now_us, GString *followed)
{
    static const char *const actions[] = {"spawn", "signal", "kill", "report", "give-up", NULL};
    static const char *const for_all[] = {"prepared", "ready", "failed", "ended", NULL};
    g_auto(GStrv) parts = g_strsplit(step, ":", -1);
    CvdProgramEvent event = CVD_PROGRAMS_TIMER;
    guint index = 0;

    if (step[0] == '+') {
        *now_us += 1000 * g_ascii_strtoll(step + 1, NULL, 10);
        gint64 due_us = cvd_program_table_get_due_us(table);
        if (due_us == 0 || due_us > *now_us)
            return;
    } else {
        event = find_event(parts[g_strv_length(parts) - 1]);
        index = parts[1] != NULL ? find_program(table->config, parts[0]) : 0;
    }
    guint all = cvd_program_table_step(table, event, index, *now_us);
    for (guint i = 0; i < table->config->n_programs; i++) {
        g_autofree char *prefix = g_strconcat(table->config->programs[i].name, ":", NULL);
        append_bits(followed, prefix, table->programs[i].actions, actions);
    }
    append_bits(followed, "", all, for_all);
}

static void check_followed(const char *step, GString *expected, GString *followed)
{
    if (strcmp(expected->str, followed->str) != 0)
        g_error("after %s follows '%s', not '%s'", step, followed->str, expected->str);
    g_string_truncate(expected, 0);
    g_string_truncate(followed, 0);
}

static void test_story(gconstpointer data)
{
    const Story *story = data;
    CvdConfig config = make_config(story->programs);
    g_auto(GStrv) words = g_strsplit_set(story->story, " ", -1);
    g_autoptr(GString) expected = g_string_new(NULL);
    g_autoptr(GString) followed = g_string_new(NULL);
    const char *step = "the beginning";
    gboolean is_expected = FALSE;
    gint64 now_us = G_USEC_PER_SEC;
    gboolean is_restored = strcmp(words[0], "from-snapshot") == 0;
    CvdProgramTable table;

    cvd_program_table_init(&table, &config, is_restored);
    for (char **word = words + is_restored; *word != NULL; word++) {
        if (strcmp(*word, ">") == 0) {
            is_expected = TRUE;
        } else if (**word == '\0') { /* two spaces */
            is_expected = FALSE;
        } else if (is_expected) {
            g_string_append_printf(expected, "%s%s", expected->len > 0 ? " " : "", *word);
        } else {
            check_followed(step, expected, followed);
            step = *word;
            take_step(&table, step, &now_us, followed);
        }
    }
    check_followed(step, expected, followed);
    cvd_program_table_clear(&table);
    clear_config(&config);
}

/* ---- Obstacles ---- */

static void test_obstacles(void)
{
    static const struct {
        const char *program;
        CvdProgramState state;
        CvdProgramCommand command;
        const char *obstacle;
    } rows[] = {
        {"a", CVD_PROGRAM_READY, CVD_PROGRAM_START, "is running"},
        {"a", CVD_PROGRAM_STARTING, CVD_PROGRAM_START, "is running"},
        {"a", CVD_PROGRAM_WAITING, CVD_PROGRAM_START, "is about to be started"},
        {"a", CVD_PROGRAM_FAILED, CVD_PROGRAM_START, NULL},
        {"a", CVD_PROGRAM_STOPPED, CVD_PROGRAM_START, NULL},
        {"a", CVD_PROGRAM_READY, CVD_PROGRAM_STOP, NULL},
        {"a", CVD_PROGRAM_FAILED, CVD_PROGRAM_RESTART, NULL},
        {"a:listen", CVD_PROGRAM_READY, CVD_PROGRAM_RESTART,
         "is a back end of QEMU; 'cvd-ctl restart' starts both anew"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        CvdConfig config = make_config(rows[i].program);
        CvdProgram program = {.config = &config.programs[0], .state = rows[i].state};
        g_assert_cmpstr(cvd_program_get_obstacle(&program, rows[i].command), ==, rows[i].obstacle);
        clear_config(&config);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(stories); i++) {
        g_autofree char *path = g_strconcat("/program/", stories[i].title, NULL);
        g_test_add_data_func(path, &stories[i], test_story);
    }
    g_test_add_func("/program/obstacles", test_obstacles);
    return g_test_run();
}
