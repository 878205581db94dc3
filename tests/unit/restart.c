/* SPDX-License-Identifier: Apache-2.0 */
/* What follows the end of a VM: section 6 of the launcher's specification as stories, and the
 * policy that bounds failures. */
#include "launcher/verdict.h"

#define KEEP CVD_TIMER_UNCHANGED
#define OFF  CVD_TIMER_OFF
#define S    G_USEC_PER_SEC

typedef struct {
    CvdEvent event;
    const char *reason; /* of a SHUTDOWN */
    CvdState state;
    guint actions;
    int timer_ms;
    const char *name; /* of the state */
} Chapter;

typedef struct {
    const char *title;
    CvdOnEvent on_crash, on_panic, on_reboot;
    Chapter chapters[12];
} Story;

#define EXIT         CVD_ON_EVENT_EXIT
#define RESTART      CVD_ON_EVENT_RESTART
#define END_OF_STORY (CvdEvent)(-1)
#define STORY_END                                                                                  \
    {                                                                                              \
        END_OF_STORY, NULL, 0, 0, 0, NULL                                                          \
    }
/* Another VM that comes up as it should. */
#define COMES_UP                                                                                     \
    {CVD_EVENT_TIMER, NULL, CVD_STATE_LOADING, CVD_ACTION_START, 30000, "starting"},                 \
        {CVD_EVENT_QMP_READY, NULL, CVD_STATE_HANDING_OVER, CVD_ACTION_HAND_OVER, KEEP, "starting"}, \
        {CVD_EVENT_HANDED_OVER, NULL, CVD_STATE_RESUMING, CVD_ACTION_CONT, KEEP, "starting"},        \
    {                                                                                                \
        CVD_EVENT_CONT_DONE, NULL, CVD_STATE_RUNNING, CVD_ACTION_READY, OFF, "running"               \
    }

/* Each begins with a VM that runs. */
static const Story stories[] = {
    {"crash",
     RESTART,
     EXIT,
     EXIT,
     {{CVD_EVENT_CONNECTION_LOST, NULL, CVD_STATE_EXITING, 0, 2000, "restarting"},
      {CVD_EVENT_QEMU_EXITED, NULL, CVD_STATE_RESTARTING, CVD_ACTION_RENEW, 1000, "restarting"},
      COMES_UP,
      {CVD_EVENT_QEMU_EXITED, NULL, CVD_STATE_RESTARTING, CVD_ACTION_RENEW, 2000, "restarting"},
      STORY_END}},
    {"crash-of-one-that-is-to-exit",
     EXIT,
     RESTART,
     RESTART,
     {{CVD_EVENT_QEMU_EXITED, NULL, CVD_STATE_ENDED, CVD_ACTION_END, OFF, "stopped"}, STORY_END}},
    {"panic",
     EXIT,
     RESTART,
     EXIT,
     {{CVD_EVENT_VM_SHUTDOWN, "guest-panic", CVD_STATE_EXITING, 0, 2000, "restarting"},
      {CVD_EVENT_VM_SHUTDOWN, "guest-panic", CVD_STATE_EXITING, 0, KEEP, "restarting"},
      {CVD_EVENT_QEMU_EXITED, NULL, CVD_STATE_RESTARTING, CVD_ACTION_RENEW, 1000, "restarting"},
      COMES_UP,
      STORY_END}},
    {"panic-of-one-that-is-to-exit",
     RESTART,
     EXIT,
     RESTART,
     {{CVD_EVENT_VM_SHUTDOWN, "guest-panic", CVD_STATE_EXITING, 0, 2000, "stopping"},
      {CVD_EVENT_QEMU_EXITED, NULL, CVD_STATE_ENDED, CVD_ACTION_END, OFF, "stopped"},
      STORY_END}},
    {"watchdog-counts-as-a-panic",
     EXIT,
     RESTART,
     EXIT,
     {{CVD_EVENT_WATCHDOG, NULL, CVD_STATE_QUITTING, CVD_ACTION_QUIT, 2000, "restarting"},
      {CVD_EVENT_VM_STOPPED, NULL, CVD_STATE_QUITTING, 0, KEEP, "restarting"},
      {CVD_EVENT_VM_SHUTDOWN, "host-qmp-quit", CVD_STATE_QUITTING, 0, KEEP, "restarting"},
      {CVD_EVENT_QEMU_EXITED, NULL, CVD_STATE_RESTARTING, CVD_ACTION_RENEW, 1000, "restarting"},
      STORY_END}},
    {"reboot-restarts-at-once-and-is-no-failure",
     EXIT,
     EXIT,
     RESTART,
     {{CVD_EVENT_VM_SHUTDOWN, "guest-reset", CVD_STATE_EXITING, 0, 2000, "restarting"},
      {CVD_EVENT_QEMU_EXITED, NULL, CVD_STATE_RESTARTING, CVD_ACTION_RENEW, 1, "restarting"},
      COMES_UP,
      {CVD_EVENT_VM_SHUTDOWN, "host-qmp-system-reset", CVD_STATE_EXITING, 0, 2000, "restarting"},
      {CVD_EVENT_QEMU_EXITED, NULL, CVD_STATE_RESTARTING, CVD_ACTION_RENEW, 1, "restarting"},
      STORY_END}},
    {"reboot-of-one-that-is-to-exit",
     RESTART,
     RESTART,
     EXIT,
     {{CVD_EVENT_VM_SHUTDOWN, "guest-reset", CVD_STATE_EXITING, 0, 2000, "stopping"},
      {CVD_EVENT_QEMU_EXITED, NULL, CVD_STATE_ENDED, CVD_ACTION_END, OFF, "stopped"},
      STORY_END}},
    {"power-off-is-the-end-whatever-is-configured",
     RESTART,
     RESTART,
     RESTART,
     {{CVD_EVENT_VM_SHUTDOWN, "guest-shutdown", CVD_STATE_EXITING, 0, 2000, "stopping"},
      {CVD_EVENT_QEMU_EXITED, NULL, CVD_STATE_ENDED, CVD_ACTION_END, OFF, "stopped"},
      STORY_END}},
    {"unresponsive-qemu-is-killed-at-once",
     RESTART,
     EXIT,
     EXIT,
     {{CVD_EVENT_UNRESPONSIVE, NULL, CVD_STATE_KILLING, CVD_ACTION_KILL, 800, "restarting"},
      {CVD_EVENT_CONNECTION_LOST, NULL, CVD_STATE_KILLING, 0, KEEP, "restarting"},
      {CVD_EVENT_QEMU_EXITED, NULL, CVD_STATE_RESTARTING, CVD_ACTION_RENEW, 1000, "restarting"},
      STORY_END}},
    {"qemu-that-cannot-be-killed-keeps-the-window",
     RESTART,
     EXIT,
     EXIT,
     {{CVD_EVENT_UNRESPONSIVE, NULL, CVD_STATE_KILLING, CVD_ACTION_KILL, 800, "restarting"},
      {CVD_EVENT_TIMER, NULL, CVD_STATE_ENDED, CVD_ACTION_END, OFF, "stopped"},
      STORY_END}},
    {"restart-fails-to-start",
     RESTART,
     EXIT,
     EXIT,
     {{CVD_EVENT_QEMU_EXITED, NULL, CVD_STATE_RESTARTING, CVD_ACTION_RENEW, 1000, "restarting"},
      {CVD_EVENT_TIMER, NULL, CVD_STATE_LOADING, CVD_ACTION_START, 30000, "starting"},
      {CVD_EVENT_START_FAILED, NULL, CVD_STATE_RESTARTING, CVD_ACTION_RENEW, 2000, "restarting"},
      {CVD_EVENT_TIMER, NULL, CVD_STATE_LOADING, CVD_ACTION_START, 30000, "starting"},
      {CVD_EVENT_TIMER, NULL, CVD_STATE_TERMINATING, CVD_ACTION_TERMINATE, 2000, "restarting"},
      {CVD_EVENT_QEMU_EXITED, NULL, CVD_STATE_RESTARTING, CVD_ACTION_RENEW, 4000, "restarting"},
      STORY_END}},
    {"ctrl-c-while-it-waits",
     RESTART,
     EXIT,
     EXIT,
     {{CVD_EVENT_QEMU_EXITED, NULL, CVD_STATE_RESTARTING, CVD_ACTION_RENEW, 1000, "restarting"},
      {CVD_EVENT_STOP_REQUESTED, NULL, CVD_STATE_ENDED, CVD_ACTION_END, OFF, "stopped"},
      STORY_END}},
    {"ctrl-c-while-the-failed-one-goes-down",
     RESTART,
     EXIT,
     EXIT,
     {{CVD_EVENT_CONNECTION_LOST, NULL, CVD_STATE_EXITING, 0, 2000, "restarting"},
      {CVD_EVENT_STOP_REQUESTED, NULL, CVD_STATE_EXITING, 0, KEEP, "stopping"},
      {CVD_EVENT_QEMU_EXITED, NULL, CVD_STATE_ENDED, CVD_ACTION_END, OFF, "stopped"},
      STORY_END}},
    {"ctrl-c-while-the-next-one-starts",
     RESTART,
     EXIT,
     EXIT,
     {{CVD_EVENT_QEMU_EXITED, NULL, CVD_STATE_RESTARTING, CVD_ACTION_RENEW, 1000, "restarting"},
      {CVD_EVENT_TIMER, NULL, CVD_STATE_LOADING, CVD_ACTION_START, 30000, "starting"},
      {CVD_EVENT_STOP_REQUESTED, NULL, CVD_STATE_TERMINATING, CVD_ACTION_TERMINATE, 2000,
       "stopping"},
      {CVD_EVENT_QEMU_EXITED, NULL, CVD_STATE_ENDED, CVD_ACTION_END, OFF, "stopped"},
      STORY_END}},
    {"restart-is-asked-for",
     EXIT,
     EXIT,
     EXIT,
     {{CVD_EVENT_RESTART_REQUESTED, NULL, CVD_STATE_POWERING_DOWN, CVD_ACTION_POWERDOWN, 1000,
       "restarting"},
      {CVD_EVENT_RESTART_REQUESTED, NULL, CVD_STATE_POWERING_DOWN, 0, KEEP, "restarting"},
      {CVD_EVENT_VM_SHUTDOWN, "guest-shutdown", CVD_STATE_EXITING, 0, 2000, "restarting"},
      {CVD_EVENT_QEMU_EXITED, NULL, CVD_STATE_RESTARTING, CVD_ACTION_RENEW, 1, "restarting"},
      COMES_UP,
      STORY_END}},
    {"restart-is-asked-for-and-then-a-stop",
     EXIT,
     EXIT,
     EXIT,
     {{CVD_EVENT_RESTART_REQUESTED, NULL, CVD_STATE_POWERING_DOWN, CVD_ACTION_POWERDOWN, 1000,
       "restarting"},
      {CVD_EVENT_STOP_REQUESTED, NULL, CVD_STATE_POWERING_DOWN, 0, KEEP, "stopping"},
      {CVD_EVENT_RESTART_REQUESTED, NULL, CVD_STATE_POWERING_DOWN, 0, KEEP, "stopping"},
      {CVD_EVENT_STOP_REQUESTED, NULL, CVD_STATE_QUITTING, CVD_ACTION_QUIT, 2000, "stopping"},
      {CVD_EVENT_QEMU_EXITED, NULL, CVD_STATE_ENDED, CVD_ACTION_END, OFF, "stopped"},
      STORY_END}},
    {"restart-is-asked-for-while-it-waits",
     RESTART,
     EXIT,
     EXIT,
     {{CVD_EVENT_QEMU_EXITED, NULL, CVD_STATE_RESTARTING, CVD_ACTION_RENEW, 1000, "restarting"},
      {CVD_EVENT_RESTART_REQUESTED, NULL, CVD_STATE_RESTARTING, 0, 1, "restarting"},
      COMES_UP,
      STORY_END}},
};

static CvdLifecycle running(const Story *story)
{
    return (CvdLifecycle){
        .state = CVD_STATE_RUNNING,
        .is_ready = TRUE,
        .was_ready = TRUE,
        .start_timeout_ms = 30000,
        .stop_timeout_ms = 2500,
        .on_crash = story->on_crash,
        .on_panic = story->on_panic,
        .on_reboot = story->on_reboot,
        .restarts = {.limit = 5, .first_delay_ms = 1000},
    };
}

static void test_story(gconstpointer data)
{
    const Story *story = data;
    CvdLifecycle lifecycle = running(story);

    for (const Chapter *chapter = story->chapters; chapter->event != END_OF_STORY; chapter++) {
        if (chapter->reason != NULL)
            cvd_lifecycle_note_shutdown(&lifecycle, chapter->reason);
        CvdStep step = cvd_lifecycle_step(&lifecycle, chapter->event, S);
        g_assert_cmpint(lifecycle.state, ==, chapter->state);
        g_assert_cmphex(step.actions, ==, chapter->actions);
        g_assert_cmpint(step.timer_ms, ==, chapter->timer_ms);
        g_assert_cmpstr(cvd_lifecycle_get_state_name(&lifecycle), ==, chapter->name);
    }
    cvd_restart_policy_clear(&lifecycle.restarts);
}

/* What never ran is not tried again: more of the same would follow. */
static void test_first_start_is_not_repeated(void)
{
    const Story story = {.on_crash = RESTART, .on_panic = RESTART, .on_reboot = RESTART};
    CvdLifecycle lifecycle = running(&story);

    lifecycle.state = CVD_STATE_HANDING_OVER;
    lifecycle.is_ready = lifecycle.was_ready = FALSE;
    CvdStep step = cvd_lifecycle_step(&lifecycle, CVD_EVENT_QEMU_EXITED, S);
    g_assert_cmpint(lifecycle.state, ==, CVD_STATE_ENDED);
    g_assert_cmphex(step.actions, ==, CVD_ACTION_END);
}

static void test_gives_up(void)
{
    const Story story = {.on_crash = RESTART};
    const int delays_ms[] = {1000, 2000, 4000, 8000, 16000};
    CvdLifecycle lifecycle = running(&story);

    for (guint i = 0; i < G_N_ELEMENTS(delays_ms); i++) {
        CvdStep step = cvd_lifecycle_step(&lifecycle, CVD_EVENT_QEMU_EXITED, i * S);
        g_assert_cmpint(step.timer_ms, ==, delays_ms[i]);
        cvd_lifecycle_step(&lifecycle, CVD_EVENT_TIMER, i * S);
    }
    CvdStep step = cvd_lifecycle_step(&lifecycle, CVD_EVENT_QEMU_EXITED, 6 * S);
    g_assert_cmphex(step.actions, ==, CVD_ACTION_END);

    CvdVerdict verdict = cvd_verdict(&lifecycle, "qemu", (CvdExit){TRUE, TRUE, 9, FALSE});
    g_assert_cmpint(verdict.exit_status, ==, 1);
    g_assert_nonnull(strstr(verdict.text, "qemu was killed by signal 9"));
    g_assert_nonnull(strstr(verdict.text, "6 failures within 10 minutes"));
    g_free(verdict.text);
    cvd_restart_policy_clear(&lifecycle.restarts);
}

static void test_policy_forgets(void)
{
    CvdRestartPolicy policy = {.limit = 2, .first_delay_ms = 1000};
    const gint64 later_us = 1000 * S;
    guint delay_ms;

    g_assert_true(cvd_restart_policy_fail(&policy, later_us, &delay_ms));
    g_assert_true(cvd_restart_policy_fail(&policy, later_us + S, &delay_ms));
    g_assert_cmpuint(delay_ms, ==, 2000);
    /* The first is just 10 minutes old and counts; then it does not any more. */
    g_assert_false(cvd_restart_policy_fail(&policy, later_us + CVD_RESTART_WINDOW_US, &delay_ms));
    cvd_restart_policy_clear(&policy);

    g_assert_true(cvd_restart_policy_fail(&policy, later_us, &delay_ms));
    g_assert_true(cvd_restart_policy_fail(&policy, later_us + S, &delay_ms));
    g_assert_true(
        cvd_restart_policy_fail(&policy, later_us + CVD_RESTART_WINDOW_US + 1, &delay_ms));
    g_assert_cmpuint(delay_ms, ==, 2000);
    g_assert_cmpuint(cvd_restart_policy_get_n_failures(&policy), ==, 2);
    cvd_restart_policy_clear(&policy);
}

static void test_policy_delays(void)
{
    static const struct {
        guint first_ms, expected_ms[7];
    } series[] = {
        {1000, {1000, 2000, 4000, 8000, 16000, 30000, 30000}},
        {0, {0, 0, 0, 0, 0, 0, 0}},
        {30000, {30000, 30000, 30000, 30000, 30000, 30000, 30000}},
        {G_MAXUINT, {30000, 30000, 30000, 30000, 30000, 30000, 30000}},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(series); i++) {
        CvdRestartPolicy policy = {.limit = 100, .first_delay_ms = series[i].first_ms};
        for (gsize j = 0; j < G_N_ELEMENTS(series[i].expected_ms); j++) {
            guint delay_ms = 1;
            g_assert_true(cvd_restart_policy_fail(&policy, (gint64)j, &delay_ms));
            g_assert_cmpuint(delay_ms, ==, series[i].expected_ms[j]);
        }
        cvd_restart_policy_clear(&policy);
    }
}

static void test_policy_never(void)
{
    CvdRestartPolicy policy = {.limit = 0, .first_delay_ms = 1000};
    guint delay_ms;

    g_assert_false(cvd_restart_policy_fail(&policy, 0, &delay_ms));
    cvd_restart_policy_clear(&policy);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(stories); i++) {
        g_autofree char *path = g_strdup_printf("/restart/%s", stories[i].title);
        g_test_add_data_func(path, &stories[i], test_story);
    }
    g_test_add_func("/restart/first-start-is-not-repeated", test_first_start_is_not_repeated);
    g_test_add_func("/restart/gives-up", test_gives_up);
    g_test_add_func("/restart/policy/forgets", test_policy_forgets);
    g_test_add_func("/restart/policy/delays", test_policy_delays);
    g_test_add_func("/restart/policy/never", test_policy_never);
    return g_test_run();
}
