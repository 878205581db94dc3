/* SPDX-License-Identifier: Apache-2.0 */
/* Stories of launches: what happens, and what section 4 to 6 of the specification want done then.
 */
#include "launcher/verdict.h"

#include <signal.h>

#define KEEP   CVD_TIMER_UNCHANGED
#define OFF    CVD_TIMER_OFF
#define NOW_US 1000000

typedef struct {
    CvdEvent event;
    CvdState state;
    guint actions;
    int timer_ms;
} Chapter;

typedef struct {
    const char *title;
    CvdState from;
    CvdStop stop;
    gboolean start_paused;
    CvdCause cause; /* at the end */
    Chapter chapters[11];
} Story;

#define END_OF_STORY (CvdEvent)(-1)
#define STORY_END                                                                                  \
    {                                                                                              \
        END_OF_STORY, 0, 0, 0                                                                      \
    }

static const Story stories[] = {
    {"start",
     CVD_STATE_LOADING,
     CVD_STOP_POWERDOWN,
     FALSE,
     CVD_CAUSE_NONE,
     {{CVD_EVENT_QMP_READY, CVD_STATE_HANDING_OVER, CVD_ACTION_HAND_OVER, KEEP},
      {CVD_EVENT_HANDED_OVER, CVD_STATE_RESUMING, CVD_ACTION_CONT, KEEP},
      {CVD_EVENT_VM_RESUMED, CVD_STATE_RESUMING, 0, KEEP},
      {CVD_EVENT_CONT_DONE, CVD_STATE_RUNNING, CVD_ACTION_READY, OFF},
      STORY_END}},
    {"start-paused-then-a-debugger-continues",
     CVD_STATE_LOADING,
     CVD_STOP_POWERDOWN,
     TRUE,
     CVD_CAUSE_NONE,
     {{CVD_EVENT_QMP_READY, CVD_STATE_HANDING_OVER, CVD_ACTION_HAND_OVER, KEEP},
      {CVD_EVENT_HANDED_OVER, CVD_STATE_PAUSED, CVD_ACTION_READY, OFF},
      {CVD_EVENT_VM_RESUMED, CVD_STATE_RUNNING, 0, KEEP},
      {CVD_EVENT_VM_STOPPED, CVD_STATE_PAUSED, 0, KEEP},
      STORY_END}},
    {"start-hangs-before-the-greeting",
     CVD_STATE_LOADING,
     CVD_STOP_POWERDOWN,
     FALSE,
     CVD_CAUSE_START_TIMED_OUT,
     {{CVD_EVENT_TIMER, CVD_STATE_TERMINATING, CVD_ACTION_TERMINATE, 2000},
      {CVD_EVENT_TIMER, CVD_STATE_KILLING, CVD_ACTION_KILL, 800},
      {CVD_EVENT_CONNECTION_LOST, CVD_STATE_KILLING, 0, KEEP},
      {CVD_EVENT_QEMU_EXITED, CVD_STATE_ENDED, CVD_ACTION_END, OFF},
      STORY_END}},
    {"start-hangs-after-the-greeting",
     CVD_STATE_HANDING_OVER,
     CVD_STOP_POWERDOWN,
     FALSE,
     CVD_CAUSE_START_TIMED_OUT,
     {{CVD_EVENT_TIMER, CVD_STATE_TERMINATING, CVD_ACTION_TERMINATE, 2000},
      {CVD_EVENT_QEMU_EXITED, CVD_STATE_ENDED, CVD_ACTION_END, OFF},
      STORY_END}},
    {"qemu-exits-at-once",
     CVD_STATE_LOADING,
     CVD_STOP_POWERDOWN,
     FALSE,
     CVD_CAUSE_QEMU_EXITED,
     {{CVD_EVENT_CONNECTION_LOST, CVD_STATE_EXITING, 0, 2000},
      {CVD_EVENT_CONNECTION_LOST, CVD_STATE_EXITING, 0, KEEP},
      {CVD_EVENT_QEMU_EXITED, CVD_STATE_ENDED, CVD_ACTION_END, OFF},
      STORY_END}},
    {"qemu-exit-is-seen-before-its-sockets-close",
     CVD_STATE_RUNNING,
     CVD_STOP_POWERDOWN,
     FALSE,
     CVD_CAUSE_QEMU_EXITED,
     {{CVD_EVENT_QEMU_EXITED, CVD_STATE_ENDED, CVD_ACTION_END, OFF},
      {CVD_EVENT_CONNECTION_LOST, CVD_STATE_ENDED, 0, KEEP},
      STORY_END}},
    {"qemu-closes-a-connection-and-lives-on",
     CVD_STATE_RUNNING,
     CVD_STOP_POWERDOWN,
     FALSE,
     CVD_CAUSE_CONNECTION_LOST,
     {{CVD_EVENT_CONNECTION_LOST, CVD_STATE_EXITING, 0, 2000},
      {CVD_EVENT_TIMER, CVD_STATE_KILLING, CVD_ACTION_KILL, 800},
      {CVD_EVENT_QEMU_EXITED, CVD_STATE_ENDED, CVD_ACTION_END, OFF},
      STORY_END}},
    {"ctrl-c-before-the-greeting",
     CVD_STATE_LOADING,
     CVD_STOP_POWERDOWN,
     FALSE,
     CVD_CAUSE_STOP_REQUESTED,
     {{CVD_EVENT_STOP_REQUESTED, CVD_STATE_TERMINATING, CVD_ACTION_TERMINATE, 2000},
      {CVD_EVENT_QMP_READY, CVD_STATE_TERMINATING, 0, KEEP},
      {CVD_EVENT_STOP_REQUESTED, CVD_STATE_TERMINATING, 0, KEEP},
      {CVD_EVENT_QEMU_EXITED, CVD_STATE_ENDED, CVD_ACTION_END, OFF},
      STORY_END}},
    {"ctrl-c-during-the-hand-over",
     CVD_STATE_HANDING_OVER,
     CVD_STOP_POWERDOWN,
     FALSE,
     CVD_CAUSE_STOP_REQUESTED,
     {{CVD_EVENT_STOP_REQUESTED, CVD_STATE_QUITTING, CVD_ACTION_QUIT, 2000},
      {CVD_EVENT_HANDED_OVER, CVD_STATE_QUITTING, 0, KEEP},
      {CVD_EVENT_VM_SHUTDOWN, CVD_STATE_QUITTING, 0, KEEP},
      {CVD_EVENT_QEMU_EXITED, CVD_STATE_ENDED, CVD_ACTION_END, OFF},
      STORY_END}},
    {"ctrl-c-powers-down",
     CVD_STATE_RUNNING,
     CVD_STOP_POWERDOWN,
     FALSE,
     CVD_CAUSE_STOP_REQUESTED,
     {{CVD_EVENT_STOP_REQUESTED, CVD_STATE_POWERING_DOWN, CVD_ACTION_POWERDOWN, 1000},
      {CVD_EVENT_VM_SHUTDOWN, CVD_STATE_EXITING, 0, 2000},
      {CVD_EVENT_CONNECTION_LOST, CVD_STATE_EXITING, 0, KEEP},
      {CVD_EVENT_QEMU_EXITED, CVD_STATE_ENDED, CVD_ACTION_END, OFF},
      STORY_END}},
    {"ctrl-c-and-nobody-obeys",
     CVD_STATE_RUNNING,
     CVD_STOP_POWERDOWN,
     FALSE,
     CVD_CAUSE_STOP_REQUESTED,
     {{CVD_EVENT_STOP_REQUESTED, CVD_STATE_POWERING_DOWN, CVD_ACTION_POWERDOWN, 1000},
      {CVD_EVENT_TIMER, CVD_STATE_POWERING_DOWN, CVD_ACTION_POWERDOWN, 1000},
      {CVD_EVENT_TIMER, CVD_STATE_POWERING_DOWN, CVD_ACTION_POWERDOWN, 500},
      {CVD_EVENT_TIMER, CVD_STATE_QUITTING, CVD_ACTION_QUIT, 2000},
      {CVD_EVENT_TIMER, CVD_STATE_TERMINATING, CVD_ACTION_TERMINATE, 2000},
      {CVD_EVENT_TIMER, CVD_STATE_KILLING, CVD_ACTION_KILL, 800},
      {CVD_EVENT_TIMER, CVD_STATE_ENDED, CVD_ACTION_END, OFF},
      STORY_END}},
    {"second-ctrl-c-quits",
     CVD_STATE_RUNNING,
     CVD_STOP_POWERDOWN,
     FALSE,
     CVD_CAUSE_STOP_REQUESTED,
     {{CVD_EVENT_STOP_REQUESTED, CVD_STATE_POWERING_DOWN, CVD_ACTION_POWERDOWN, 1000},
      {CVD_EVENT_STOP_REQUESTED, CVD_STATE_QUITTING, CVD_ACTION_QUIT, 2000},
      {CVD_EVENT_STOP_REQUESTED, CVD_STATE_QUITTING, 0, KEEP},
      {CVD_EVENT_QEMU_EXITED, CVD_STATE_ENDED, CVD_ACTION_END, OFF},
      STORY_END}},
    {"terminal-closes", /* the kernel hangs up, and then the shell */
     CVD_STATE_RUNNING,
     CVD_STOP_POWERDOWN,
     FALSE,
     CVD_CAUSE_STOP_REQUESTED,
     {{CVD_EVENT_HANGUP, CVD_STATE_POWERING_DOWN, CVD_ACTION_POWERDOWN, 1000},
      {CVD_EVENT_HANGUP, CVD_STATE_POWERING_DOWN, 0, KEEP},
      {CVD_EVENT_STOP_REQUESTED, CVD_STATE_QUITTING, CVD_ACTION_QUIT, 2000},
      {CVD_EVENT_HANGUP, CVD_STATE_QUITTING, 0, KEEP},
      STORY_END}},
    {"powerdown-is-refused",
     CVD_STATE_POWERING_DOWN,
     CVD_STOP_POWERDOWN,
     FALSE,
     CVD_CAUSE_STOP_REQUESTED,
     {{CVD_EVENT_COMMAND_FAILED, CVD_STATE_QUITTING, CVD_ACTION_QUIT, 2000}, STORY_END}},
    {"stop-by-quit",
     CVD_STATE_RUNNING,
     CVD_STOP_QUIT,
     FALSE,
     CVD_CAUSE_STOP_REQUESTED,
     {{CVD_EVENT_STOP_REQUESTED, CVD_STATE_QUITTING, CVD_ACTION_QUIT, 2000}, STORY_END}},
    {"paused-vm-cannot-power-down",
     CVD_STATE_PAUSED,
     CVD_STOP_POWERDOWN,
     FALSE,
     CVD_CAUSE_STOP_REQUESTED,
     {{CVD_EVENT_STOP_REQUESTED, CVD_STATE_QUITTING, CVD_ACTION_QUIT, 2000}, STORY_END}},
    {"time-limit",
     CVD_STATE_RUNNING,
     CVD_STOP_POWERDOWN,
     FALSE,
     CVD_CAUSE_TIME_LIMIT,
     {{CVD_EVENT_TIME_LIMIT, CVD_STATE_POWERING_DOWN, CVD_ACTION_POWERDOWN, 1000},
      {CVD_EVENT_TIME_LIMIT, CVD_STATE_POWERING_DOWN, 0, KEEP},
      {CVD_EVENT_STOP_REQUESTED, CVD_STATE_QUITTING, CVD_ACTION_QUIT, 2000},
      STORY_END}},
    {"guest-powers-off",
     CVD_STATE_RUNNING,
     CVD_STOP_POWERDOWN,
     FALSE,
     CVD_CAUSE_VM_SHUTDOWN,
     {{CVD_EVENT_VM_SHUTDOWN, CVD_STATE_EXITING, 0, 2000},
      {CVD_EVENT_CONNECTION_LOST, CVD_STATE_EXITING, 0, KEEP},
      {CVD_EVENT_QEMU_EXITED, CVD_STATE_ENDED, CVD_ACTION_END, OFF},
      STORY_END}},
    {"guest-powers-off-and-its-connection-ends-first",
     CVD_STATE_RUNNING,
     CVD_STOP_POWERDOWN,
     FALSE,
     CVD_CAUSE_VM_SHUTDOWN,
     {{CVD_EVENT_CONNECTION_LOST, CVD_STATE_EXITING, 0, 2000},
      {CVD_EVENT_VM_SHUTDOWN, CVD_STATE_EXITING, 0, KEEP},
      {CVD_EVENT_QEMU_EXITED, CVD_STATE_ENDED, CVD_ACTION_END, OFF},
      STORY_END}},
    {"guest-powers-off-but-qemu-stays",
     CVD_STATE_RUNNING,
     CVD_STOP_POWERDOWN,
     FALSE,
     CVD_CAUSE_VM_SHUTDOWN,
     {{CVD_EVENT_VM_SHUTDOWN, CVD_STATE_EXITING, 0, 2000},
      {CVD_EVENT_TIMER, CVD_STATE_TERMINATING, CVD_ACTION_TERMINATE, 2000},
      {CVD_EVENT_TIMER, CVD_STATE_KILLING, CVD_ACTION_KILL, 800},
      STORY_END}},
    {"ctrl-c-and-the-connection-ends-first",
     CVD_STATE_POWERING_DOWN,
     CVD_STOP_POWERDOWN,
     FALSE,
     CVD_CAUSE_STOP_REQUESTED,
     {{CVD_EVENT_CONNECTION_LOST, CVD_STATE_EXITING, 0, 2000},
      {CVD_EVENT_VM_SHUTDOWN, CVD_STATE_EXITING, 0, KEEP},
      {CVD_EVENT_QEMU_EXITED, CVD_STATE_ENDED, CVD_ACTION_END, OFF},
      STORY_END}},
    {"guest-reset-with-seabios-second-one",
     CVD_STATE_RUNNING,
     CVD_STOP_POWERDOWN,
     FALSE,
     CVD_CAUSE_NONE,
     {{CVD_EVENT_VM_RESET, CVD_STATE_RESET_STOPPING, CVD_ACTION_STOP, KEEP},
      {CVD_EVENT_VM_STOPPED, CVD_STATE_RESET_STOPPING, 0, KEEP},
      {CVD_EVENT_VM_RESET, CVD_STATE_RESET_STOPPING, 0, KEEP},
      {CVD_EVENT_STOP_DONE, CVD_STATE_RESET_RESUMING, CVD_ACTION_RESET_SIGNALS | CVD_ACTION_CONT,
       KEEP},
      {CVD_EVENT_VM_RESUMED, CVD_STATE_RESET_RESUMING, 0, KEEP},
      {CVD_EVENT_CONT_DONE, CVD_STATE_RUNNING, 0, KEEP},
      {CVD_EVENT_VM_RESET, CVD_STATE_RESET_STOPPING, CVD_ACTION_STOP, KEEP},
      STORY_END}},
    {"reset-while-resuming-after-a-reset",
     CVD_STATE_RESET_RESUMING,
     CVD_STOP_POWERDOWN,
     FALSE,
     CVD_CAUSE_NONE,
     {{CVD_EVENT_VM_RESET, CVD_STATE_RESET_STOPPING, CVD_ACTION_STOP, KEEP},
      {CVD_EVENT_CONT_DONE, CVD_STATE_RESET_STOPPING, 0, KEEP},
      {CVD_EVENT_STOP_DONE, CVD_STATE_RESET_RESUMING, CVD_ACTION_RESET_SIGNALS | CVD_ACTION_CONT,
       KEEP},
      STORY_END}},
    {"reset-of-a-paused-vm-leaves-it-paused",
     CVD_STATE_PAUSED,
     CVD_STOP_POWERDOWN,
     FALSE,
     CVD_CAUSE_NONE,
     {{CVD_EVENT_VM_RESET, CVD_STATE_PAUSED, CVD_ACTION_RESET_SIGNALS, KEEP}, STORY_END}},
    {"reset-before-the-first-cont-is-answered",
     CVD_STATE_RESUMING,
     CVD_STOP_POWERDOWN,
     FALSE,
     CVD_CAUSE_NONE,
     {{CVD_EVENT_VM_RESET, CVD_STATE_RESET_STOPPING, CVD_ACTION_STOP, KEEP},
      {CVD_EVENT_CONT_DONE, CVD_STATE_RESET_STOPPING, 0, KEEP},
      {CVD_EVENT_STOP_DONE, CVD_STATE_RESET_RESUMING, CVD_ACTION_RESET_SIGNALS | CVD_ACTION_CONT,
       KEEP},
      {CVD_EVENT_CONT_DONE, CVD_STATE_RUNNING, CVD_ACTION_READY, OFF},
      STORY_END}},
    {"ctrl-c-during-a-reset",
     CVD_STATE_RESET_STOPPING,
     CVD_STOP_POWERDOWN,
     FALSE,
     CVD_CAUSE_STOP_REQUESTED,
     {{CVD_EVENT_STOP_REQUESTED, CVD_STATE_QUITTING, CVD_ACTION_QUIT, 2000},
      {CVD_EVENT_STOP_DONE, CVD_STATE_QUITTING, 0, KEEP},
      {CVD_EVENT_VM_RESET, CVD_STATE_QUITTING, 0, KEEP},
      STORY_END}},
    {"reset-while-powering-down", /* with SeaBIOS's second one, and later another */
     CVD_STATE_RUNNING,
     CVD_STOP_POWERDOWN,
     FALSE,
     CVD_CAUSE_STOP_REQUESTED,
     {{CVD_EVENT_STOP_REQUESTED, CVD_STATE_POWERING_DOWN, CVD_ACTION_POWERDOWN, 1000},
      {CVD_EVENT_VM_RESET, CVD_STATE_DOWN_RESETTING, CVD_ACTION_STOP, KEEP},
      {CVD_EVENT_VM_RESET, CVD_STATE_DOWN_RESETTING, 0, KEEP},
      {CVD_EVENT_STOP_DONE, CVD_STATE_POWERING_DOWN, CVD_ACTION_RESET_SIGNALS | CVD_ACTION_CONT,
       KEEP},
      {CVD_EVENT_VM_RESET, CVD_STATE_DOWN_RESETTING, CVD_ACTION_STOP, KEEP},
      {CVD_EVENT_CONT_DONE, CVD_STATE_DOWN_RESETTING, 0, KEEP},
      {CVD_EVENT_STOP_DONE, CVD_STATE_POWERING_DOWN, CVD_ACTION_RESET_SIGNALS | CVD_ACTION_CONT,
       KEEP},
      {CVD_EVENT_TIMER, CVD_STATE_POWERING_DOWN, CVD_ACTION_POWERDOWN, 1000},
      {CVD_EVENT_VM_SHUTDOWN, CVD_STATE_EXITING, 0, 2000},
      STORY_END}},
    {"reset-while-powering-down-and-stop-takes-for-ever",
     CVD_STATE_RUNNING,
     CVD_STOP_POWERDOWN,
     FALSE,
     CVD_CAUSE_STOP_REQUESTED,
     {{CVD_EVENT_STOP_REQUESTED, CVD_STATE_POWERING_DOWN, CVD_ACTION_POWERDOWN, 1000},
      {CVD_EVENT_VM_RESET, CVD_STATE_DOWN_RESETTING, CVD_ACTION_STOP, KEEP},
      {CVD_EVENT_TIMER, CVD_STATE_DOWN_RESETTING, 0, 1000},
      {CVD_EVENT_TIMER, CVD_STATE_DOWN_RESETTING, 0, 500},
      {CVD_EVENT_TIMER, CVD_STATE_QUITTING, CVD_ACTION_QUIT, 2000},
      {CVD_EVENT_STOP_DONE, CVD_STATE_QUITTING, 0, KEEP},
      STORY_END}},
    {"ctrl-c-twice-and-a-reset-in-between",
     CVD_STATE_RUNNING,
     CVD_STOP_POWERDOWN,
     FALSE,
     CVD_CAUSE_STOP_REQUESTED,
     {{CVD_EVENT_STOP_REQUESTED, CVD_STATE_POWERING_DOWN, CVD_ACTION_POWERDOWN, 1000},
      {CVD_EVENT_VM_RESET, CVD_STATE_DOWN_RESETTING, CVD_ACTION_STOP, KEEP},
      {CVD_EVENT_STOP_REQUESTED, CVD_STATE_QUITTING, CVD_ACTION_QUIT, 2000},
      {CVD_EVENT_STOP_DONE, CVD_STATE_QUITTING, 0, KEEP},
      STORY_END}},
    {"guest-powers-off-while-stopping-after-a-reset",
     CVD_STATE_RUNNING,
     CVD_STOP_POWERDOWN,
     FALSE,
     CVD_CAUSE_STOP_REQUESTED,
     {{CVD_EVENT_STOP_REQUESTED, CVD_STATE_POWERING_DOWN, CVD_ACTION_POWERDOWN, 1000},
      {CVD_EVENT_VM_RESET, CVD_STATE_DOWN_RESETTING, CVD_ACTION_STOP, KEEP},
      {CVD_EVENT_VM_SHUTDOWN, CVD_STATE_EXITING, 0, 2000},
      STORY_END}},
    {"cont-is-refused",
     CVD_STATE_RESUMING,
     CVD_STOP_POWERDOWN,
     FALSE,
     CVD_CAUSE_COMMAND_FAILED,
     {{CVD_EVENT_COMMAND_FAILED, CVD_STATE_QUITTING, CVD_ACTION_QUIT, 2000},
      {CVD_EVENT_COMMAND_FAILED, CVD_STATE_QUITTING, 0, KEEP},
      STORY_END}},
};

static void test_story(gconstpointer data)
{
    const Story *story = data;
    CvdLifecycle lifecycle = {
        .state = story->from,
        .start_paused = story->start_paused,
        .stop = story->stop,
        .stop_timeout_ms = 2500,
        .is_ready = story->from > CVD_STATE_RESUMING,
        /* Nobody powers down without having been asked to. */
        .cause = story->from == CVD_STATE_POWERING_DOWN ? CVD_CAUSE_STOP_REQUESTED : CVD_CAUSE_NONE,
        .is_stop_asked = story->from == CVD_STATE_POWERING_DOWN,
    };

    for (const Chapter *chapter = story->chapters; chapter->event != END_OF_STORY; chapter++) {
        CvdStep step = cvd_lifecycle_step(&lifecycle, chapter->event, NOW_US);
        g_assert_cmpint(lifecycle.state, ==, chapter->state);
        g_assert_cmphex(step.actions, ==, chapter->actions);
        g_assert_cmpint(step.timer_ms, ==, chapter->timer_ms);
    }
    g_assert_cmpint(lifecycle.cause, ==, story->cause);
}

/* A `cont` that had to wait is not sent to a guest that is to stay stopped. */
static void test_may_cont(void)
{
    for (int state = CVD_STATE_LOADING; state <= CVD_STATE_ENDED; state++) {
        CvdLifecycle lifecycle = {.state = (CvdState)state};
        gboolean stays = state == CVD_STATE_RESET_STOPPING || state > CVD_STATE_POWERING_DOWN;
        g_assert_cmpint(cvd_lifecycle_may_cont(&lifecycle), ==, !stays);
    }
}

/* From every state, whatever else happens: time and the end of QEMU always lead to the end. */
static void test_every_way_ends(void)
{
    for (int from = CVD_STATE_LOADING; from <= CVD_STATE_ENDED; from++) {
        for (int event = CVD_EVENT_QMP_READY; event <= CVD_EVENT_QEMU_EXITED; event++) {
            CvdLifecycle lifecycle = {.state = (CvdState)from, .stop_timeout_ms = 7000};
            int waited_ms = 0, timer_ms = 0;
            cvd_lifecycle_step(&lifecycle, (CvdEvent)event, NOW_US);
            CvdStep step = cvd_lifecycle_step(&lifecycle, CVD_EVENT_STOP_REQUESTED, NOW_US);
            for (int i = 0; lifecycle.state != CVD_STATE_ENDED; i++) {
                g_assert_cmpint(i, <, 12);
                if (step.timer_ms != CVD_TIMER_UNCHANGED)
                    timer_ms = step.timer_ms;
                waited_ms += timer_ms;
                step = cvd_lifecycle_step(&lifecycle, CVD_EVENT_TIMER, NOW_US);
            }
            g_assert_cmpint(waited_ms, <=, 7000 + 5000);
        }
    }
}

static const struct {
    const char *title;
    CvdCause cause;
    gboolean is_ready;
    const char *reason;
    CvdExit qemu;
    int exit_status;
    const char *words;
} verdicts[] = {
    {"power-off",
     CVD_CAUSE_VM_SHUTDOWN,
     TRUE,
     "guest-shutdown",
     {TRUE, FALSE, 0, FALSE},
     0,
     "guest powered off"},
    {"power-off-then-crash",
     CVD_CAUSE_VM_SHUTDOWN,
     TRUE,
     "guest-shutdown",
     {TRUE, TRUE, SIGSEGV, TRUE},
     1,
     "guest powered off, but qemu was killed by signal 11 (core dumped)"},
    {"power-off-but-unkillable",
     CVD_CAUSE_VM_SHUTDOWN,
     TRUE,
     "guest-shutdown",
     {FALSE, FALSE, 0, FALSE},
     1,
     "left behind"},
    {"asked-then-crash",
     CVD_CAUSE_STOP_REQUESTED,
     TRUE,
     "guest-shutdown",
     {TRUE, TRUE, SIGABRT, FALSE},
     0,
     "stopped, though qemu was killed by signal 6"},
    {"panic",
     CVD_CAUSE_VM_SHUTDOWN,
     TRUE,
     "guest-panic",
     {TRUE, FALSE, 0, FALSE},
     1,
     "guest panicked"},
    {"shutdown-for-an-unknown-reason",
     CVD_CAUSE_VM_SHUTDOWN,
     TRUE,
     "sudden-hunger",
     {TRUE, FALSE, 0, FALSE},
     1,
     "unknown"},
    {"asked",
     CVD_CAUSE_STOP_REQUESTED,
     TRUE,
     "host-qmp-quit",
     {TRUE, FALSE, 0, FALSE},
     0,
     "stopped"},
    {"asked-and-the-guest-obeyed",
     CVD_CAUSE_STOP_REQUESTED,
     TRUE,
     "guest-shutdown",
     {TRUE, FALSE, 0, FALSE},
     0,
     "stopped: the guest powered off"},
    {"asked-and-killed",
     CVD_CAUSE_STOP_REQUESTED,
     TRUE,
     NULL,
     {TRUE, TRUE, SIGKILL, FALSE},
     0,
     "had to be killed"},
    {"asked-during-start",
     CVD_CAUSE_STOP_REQUESTED,
     FALSE,
     NULL,
     {TRUE, TRUE, SIGTERM, FALSE},
     0,
     "stopped"},
    {"asked-but-unkillable",
     CVD_CAUSE_STOP_REQUESTED,
     TRUE,
     NULL,
     {FALSE, FALSE, 0, FALSE},
     1,
     "left behind"},
    {"time-limit", CVD_CAUSE_TIME_LIMIT, TRUE, NULL, {TRUE, FALSE, 0, FALSE}, 1, "--timeout"},
    {"start-timed-out",
     CVD_CAUSE_START_TIMED_OUT,
     FALSE,
     NULL,
     {TRUE, TRUE, SIGTERM, FALSE},
     1,
     "lifecycle.start_timeout_s"},
    {"crash-with-core",
     CVD_CAUSE_QEMU_EXITED,
     TRUE,
     NULL,
     {TRUE, TRUE, SIGSEGV, TRUE},
     1,
     "qemu was killed by signal 11 (core dumped)"},
    {"sandbox", CVD_CAUSE_QEMU_EXITED, TRUE, NULL, {TRUE, TRUE, SIGSYS, FALSE}, 1, "qemu.sandbox"},
    {"exit-before-running",
     CVD_CAUSE_QEMU_EXITED,
     FALSE,
     NULL,
     {TRUE, FALSE, 1, FALSE},
     1,
     "qemu exited with status 1 before the VM was running"},
};

static void test_verdict(gconstpointer data)
{
    gsize i = GPOINTER_TO_SIZE(data);
    CvdLifecycle lifecycle = {
        .state = CVD_STATE_ENDED, .cause = verdicts[i].cause, .is_ready = verdicts[i].is_ready};

    if (verdicts[i].reason != NULL)
        cvd_lifecycle_note_shutdown(&lifecycle, verdicts[i].reason);
    CvdVerdict verdict = cvd_verdict(&lifecycle, "qemu", verdicts[i].qemu);
    g_assert_cmpint(verdict.exit_status, ==, verdicts[i].exit_status);
    g_assert_nonnull(strstr(verdict.text, verdicts[i].words));
    g_free(verdict.text);
}

/* Scripts wait for `NAME: running`; no state of a start may be called so before. */
static void test_names(void)
{
    static const struct {
        CvdState state;
        gboolean is_ready;
        const char *name;
    } names[] = {
        {CVD_STATE_LOADING, FALSE, "starting"},        {CVD_STATE_RESUMING, FALSE, "starting"},
        {CVD_STATE_RESET_RESUMING, FALSE, "starting"}, {CVD_STATE_RESET_RESUMING, TRUE, "running"},
        {CVD_STATE_RUNNING, TRUE, "running"},          {CVD_STATE_PAUSED, TRUE, "paused"},
        {CVD_STATE_POWERING_DOWN, TRUE, "stopping"},   {CVD_STATE_KILLING, TRUE, "stopping"},
        {CVD_STATE_RESTARTING, TRUE, "restarting"},    {CVD_STATE_ENDED, TRUE, "stopped"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        CvdLifecycle lifecycle = {.state = names[i].state, .is_ready = names[i].is_ready};
        g_assert_cmpstr(cvd_lifecycle_get_state_name(&lifecycle), ==, names[i].name);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(stories); i++) {
        g_autofree char *path = g_strdup_printf("/lifecycle/%s", stories[i].title);
        g_test_add_data_func(path, &stories[i], test_story);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(verdicts); i++) {
        g_autofree char *path = g_strdup_printf("/lifecycle/verdict/%s", verdicts[i].title);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_verdict);
    }
    g_test_add_func("/lifecycle/cont-that-had-to-wait", test_may_cont);
    g_test_add_func("/lifecycle/every-way-ends-in-time", test_every_way_ends);
    g_test_add_func("/lifecycle/state-names", test_names);
    return g_test_run();
}
