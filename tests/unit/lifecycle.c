/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stories of launches. A line is an event, the state that users see afterwards, and what is to be
 * done; `-` is nothing. `due:N` is the timer, which must be due N ms after the event before it;
 * `status:`, `SHUTDOWN:` and `late:` have what QEMU says, or how many ms late the timer is. Where
 * more is waited for than that the guest runs, the state of a machine that is ready has `+ready`.
 * Every story begins with a QEMU that was just spawned; UP brings the guest to run.
 */
#include "launcher/control/control-interface.h"
#include "launcher/control/verbs.h"
#include "launcher/verdict.h"
#include "tests/support/rows.h"
#include "tests/unit/lifecycle-words.h"

#include <signal.h>
#include <string.h>

#define MS 1000
#define S  G_USEC_PER_SEC

#define LOADED "qmp-ready starting hand-over;"
#define UP                                                                                         \
    LOADED "handed-over:prelaunch starting cont;"                                                  \
           "RESUME starting -;"                                                                    \
           "done running ready;"
/* If that makes it ready, and is not what is always waited for. */
#define UP_READY                                                                                   \
    LOADED "handed-over:prelaunch starting cont;"                                                  \
           "RESUME starting -;"                                                                    \
           "done running+ready ready;"
/* With host programs. */
#define UP_WITH_PROGRAMS                                                                           \
    LOADED "handed-over:prelaunch starting -;"                                                     \
           "programs-ready starting cont;"                                                         \
           "RESUME starting -;"                                                                    \
           "done running ready;"
/* A pause that users have asked for. */
#define PAUSED                                                                                     \
    UP "pause running stop; STOP paused -; done paused query-status; status:paused paused -;"
/* A snapshot, when the guest stands still. */
#define SAVED                                                                                      \
    UP "snapshot running hold,stop; STOP paused -; done paused query-status;"                      \
       "status:paused paused save;"
/* From a snapshot. */
#define RESTORING LOADED "handed-over:inmigrate starting restore;"
#define UP_RESTORED                                                                                \
    RESTORING "restored starting query-status;"                                                    \
              "status:paused starting cont;"                                                       \
              "RESUME starting -;"                                                                 \
              "done running ready;"
/* From the timer that starts the next VM on. */
#define UP_AGAIN UP

typedef struct {
    gboolean start_paused;
    gboolean wants_bus_master;
    gboolean wants_pin;
    CvdStop stop;
    CvdOnEvent on_crash, on_panic, on_reboot;
    guint limit; /* 0 = 5 */
    CvdMachineReady ready;
    guint n_programs;
    gboolean has_hook;    /* before the start */
    gboolean is_restored; /* from a snapshot */
} Settings;

typedef struct {
    const char *title;
    const char *steps;
    Settings settings;
} Story;

#define RESTARTS .on_crash = CVD_ON_EVENT_RESTART
#define REBOOTS  .on_reboot = CVD_ON_EVENT_RESTART
#define PANICS   .on_panic = CVD_ON_EVENT_RESTART
#define ASKS     .ready = CVD_MACHINE_READY_GUEST
#define PROGRAMS .ready = CVD_MACHINE_READY_PROGRAMS

static const Story stories[] = {
    /* Start */
    {"start", UP, {0}},
    {"start-paused-then-a-debugger-continues",
     LOADED "handed-over:prelaunch paused ready;"
            "RESUME running -;"
            "STOP running query-status;"
            "status:paused paused -;",
     {.start_paused = TRUE}},
    {"start-hangs-before-the-greeting",
     "due:30000 stopping term;"
     "due:2000 stopping kill;"
     "closed stopping -;"
     "exited stopped end;",
     {0}},
    {"start-hangs-after-the-greeting", LOADED "due:30000 stopping term; exited stopped end;", {0}},
    {"start-hangs-after-a-hook", /* which has a limit of its own */
     "wait:15000 starting -; prepared starting -; due:30000 stopping term; exited stopped end;",
     {.has_hook = TRUE}},
    {"start-from-a-snapshot", UP_RESTORED, {.is_restored = TRUE}},
    {"snapshot-to-be-paused",
     RESTORING "restored starting query-status; status:paused paused ready; resume running cont;",
     {.is_restored = TRUE, .start_paused = TRUE}},
    {"snapshot-before-the-programs-are-ready",
     RESTORING "restored starting query-status;"
               "status:paused starting -;"
               "programs-ready starting cont;",
     {.is_restored = TRUE, .n_programs = 1}},
    {"programs-ready-before-the-snapshot",
     RESTORING "programs-ready starting -; restored starting query-status;"
               "status:paused starting cont;",
     {.is_restored = TRUE, .n_programs = 1}},
    {"pause-before-the-snapshot-is-taken-in",
     RESTORING "pause starting -; restored starting query-status; status:paused paused ready;",
     {.is_restored = TRUE}},
    {"resume-before-the-snapshot-is-taken-in", /* nothing but the run state is asked for */
     RESTORING "resume starting query-status; status:inmigrate starting -;"
               "restored starting query-status; status:paused starting cont;",
     {.is_restored = TRUE}},
    {"somebody-continues-the-snapshot", /* before it is known to be whole */
     RESTORING "RESUME starting stop; restored starting -; STOP starting -;"
               "done starting query-status; status:paused starting cont;",
     {.is_restored = TRUE}},
    {"snapshot-of-a-guest-that-slept",
     RESTORING "restored starting query-status; status:suspended suspended ready;",
     {.is_restored = TRUE}},
    {"snapshot-has-the-bus-master-bit", /* which a reset clears */
     UP_RESTORED "RESET running stop; STOP running -;"
                 "done running query-status; status:paused running clear,hold,bus-master;"
                 "done running cont;",
     {.is_restored = TRUE, .wants_bus_master = TRUE}},
    {"snapshot-does-not-fit",
     RESTORING "restore-failed stopping quit; exited stopped end;",
     {RESTARTS, .is_restored = TRUE}},
    {"snapshot-does-not-fit-any-more", /* as QEMU was upgraded, and a crash does not change that */
     UP_RESTORED "exited restarting report,renew; due:1000 starting start;" RESTORING
                 "restore-failed stopping quit; exited stopped end;",
     {RESTARTS, .is_restored = TRUE}},
    {"qemu-dies-of-the-snapshot", RESTORING "exited stopped end;", {RESTARTS, .is_restored = TRUE}},
    {"qemu-dies-of-the-snapshot-later", /* perhaps for want of memory */
     UP_RESTORED "exited restarting report,renew; due:1000 starting start;" RESTORING
                 "exited restarting report,renew; due:2000 starting start;" UP_RESTORED,
     {RESTARTS, .is_restored = TRUE}},
    {"ctrl-c-while-the-snapshot-is-taken-in",
     RESTORING "stop stopping term; restored stopping -; exited stopped end;",
     {.is_restored = TRUE}},
    {"snapshot-is-not-taken-in-in-time",
     LOADED "prepared starting -; handed-over:inmigrate starting restore;"
            "due:30000 stopping term; exited stopped end;",
     {.is_restored = TRUE}},
    {"snapshot-takes-long-to-unpack", /* for which there is another limit */
     "wait:500000 starting -; prepared starting -; due:30000 stopping term; exited stopped end;",
     {.is_restored = TRUE}},
    {"hook-and-start-take-too-long",
     "due:50000 stopping term; prepared stopping -; exited stopped end;",
     {.has_hook = TRUE}},
    {"start-of-an-incoming-migration", /* `cont` would only be remembered by QEMU */
     "qmp-ready starting hand-over;"
     "handed-over:inmigrate paused ready;"
     "resume paused query-status;"
     "status:paused running cont;"
     "RESUME running -;"
     "done running -;",
     {0}},
    {"cont-is-taken-but-resumes-nothing",
     UP "STOP running query-status;"
        "status:paused paused -;"
        "resume running cont;"
        "done running query-status;"
        "status:postmigrate paused -;",
     {0}},
    {"bus-master-before-the-first-cont",
     LOADED "handed-over:prelaunch starting bus-master;"
            "done starting cont;"
            "RESUME starting -;"
            "done running ready;",
     {.wants_bus_master = TRUE}},
    {"bus-master-is-refused",
     LOADED "handed-over:prelaunch starting bus-master;"
            "refused stopping quit;"
            "exited stopped end;",
     {.wants_bus_master = TRUE}},
    {"vcpus-are-pinned-once", /* they stay so when the guest is reset */
     LOADED "handed-over:prelaunch starting pin;"
            "done starting bus-master;"
            "done starting cont;"
            "RESUME starting -;"
            "done running ready;"
            "RESET running stop;"
            "STOP running -;"
            "done running query-status; status:paused running clear,hold,bus-master;"
            "done running cont;",
     {.wants_bus_master = TRUE, .wants_pin = TRUE}},
    {"vcpus-of-each-vm-are-pinned",
     LOADED "handed-over:prelaunch starting pin; done starting cont; RESUME starting -;"
            "done running ready; exited restarting report,renew; due:1000 starting start;" LOADED
            "handed-over:prelaunch starting pin;",
     {RESTARTS, .wants_pin = TRUE}},
    {"vcpus-cannot-be-pinned",
     LOADED "handed-over:prelaunch starting pin; refused stopping quit; exited stopped end;",
     {.wants_pin = TRUE}},
    {"first-cont-is-refused",
     LOADED "handed-over:prelaunch starting cont; refused stopping quit;",
     {0}},
    {"qemu-exits-at-once", "closed stopping -; closed stopping -; exited stopped end;", {0}},
    {"first-start-is-not-repeated", "exited stopped end;", {RESTARTS, PANICS, REBOOTS}},

    /* Pauses, sleeps and faults */
    {"pause-and-resume",
     UP "pause running stop;"
        "STOP paused -;"
        "done paused query-status; status:paused paused -;"
        "resume running cont;"
        "RESUME running -;"
        "done running -;",
     {0}},
    {"pause-before-the-first-cont",
     "pause starting -;" LOADED "handed-over:prelaunch paused ready;"
     "resume running cont;",
     {0}},
    {"pause-while-cont-is-under-way",
     LOADED "handed-over:prelaunch starting cont;"
            "pause starting -;"
            "RESUME starting -;"
            "done starting stop;"
            "STOP starting -;"
            "done starting query-status; status:paused paused ready;",
     {0}},
    {"pause-and-resume-at-once",
     UP "pause running stop;"
        "resume running -;"
        "STOP running -;"
        "done running query-status; status:paused running cont;",
     {0}},
    {"pause-in-a-sleep-holds-after-it",
     UP "SUSPEND suspended -;"
        "pause suspended -;"
        "WAKEUP running stop;"
        "STOP paused -;"
        "done paused query-status; status:paused paused -;",
     {0}},
    {"somebody-else-stops-it",
     UP "STOP running query-status; status:paused paused -; RESUME running -;",
     {0}},
    {"somebody-resumes-a-pause",
     UP "pause running stop; STOP paused -; done paused query-status; status:paused paused -; "
        "RESUME running -;",
     {0}},
    {"disk-full-and-then-not",
     UP "STOP running query-status;"
        "status:io-error faulted -;"
        "resume faulted cont;"
        "RESUME running -;"
        "done running -;",
     {0}},
    {"disk-full-still",
     UP "STOP running query-status;"
        "status:io-error faulted -;"
        "resume faulted cont;"
        "RESUME running -;"
        "STOP running -;"
        "done running query-status;"
        "status:io-error faulted -;",
     {0}},
    {"resume-is-refused",
     UP "STOP running query-status;"
        "status:paused paused -;"
        "resume running cont;"
        "refused faulted -;"
        "resume running cont;",
     {0}},
    {"internal-error-is-a-crash",
     UP "STOP running query-status;"
        "status:internal-error restarting quit;"
        "exited restarting report,renew;",
     {RESTARTS}},
    {"panic-that-only-pauses",
     UP "STOP running query-status; status:guest-panicked faulted -;",
     {0}},

    /* Resets */
    {"reset-with-seabios-second-one",
     UP "RESET running stop;"
        "STOP running -;"
        "done running query-status; status:paused running clear,hold,cont;"
        "RESUME running -;"
        "done running -;"
        "RESET running stop;"
        "STOP running -;"
        "done running query-status; status:paused running clear,cont;"
        "RESUME running -;"
        "done running -;"
        "due:500 running admit;"
        "RESET running stop;"
        "done running query-status; status:paused running clear,hold,cont;",
     {0}},
    {"reset-while-resuming-after-a-reset",
     UP "RESET running stop;"
        "done running query-status; status:paused running clear,hold,cont;"
        "RESET running -;"
        "RESUME running -;"
        "done running stop;"
        "STOP running -;"
        "done running query-status; status:paused running clear,cont;"
        "RESUME running -;"
        "done running -;"
        "due:500 running admit;",
     {0}},
    {"reset-of-a-paused-vm-leaves-it-paused",
     UP "pause running stop;"
        "STOP paused -;"
        "done paused query-status; status:paused paused -;"
        "RESET paused clear,hold;"
        "resume running cont;"
        "RESUME running -;"
        "done running -;"
        "due:500 running admit;",
     {0}},
    {"pause-during-a-reset",
     UP "RESET running stop;"
        "pause running -;"
        "STOP paused -;"
        "done paused query-status; status:paused paused clear,hold;",
     {0}},
    {"reset-of-a-sleeping-guest-runs-it",
     UP "SUSPEND suspended -; RESET running clear,hold,cont;",
     {0}},
    {"reset-of-a-faulted-guest-runs-it",
     UP "STOP running query-status;"
        "status:guest-panicked faulted -;"
        "RESET running clear,hold,cont;",
     {0}},
    {"reset-sets-the-bus-master-bit-again",
     LOADED "handed-over:prelaunch starting bus-master;"
            "done starting cont;"
            "RESUME starting -;"
            "done running ready;"
            "RESET running stop;"
            "STOP running -;"
            "done running query-status; status:paused running clear,hold,bus-master;"
            "RESET running -;"
            "done running clear,bus-master;"
            "done running cont;",
     {.wants_bus_master = TRUE}},
    {"reset-before-the-first-cont-is-answered",
     LOADED "handed-over:prelaunch starting cont;"
            "RESUME starting -;"
            "RESET starting -;"
            "done starting stop;"
            "STOP starting -;"
            "done starting query-status; status:paused starting clear,hold,cont;"
            "RESUME starting -;"
            "done running ready;",
     {0}},

    /* Stops */
    {"ctrl-c-before-the-greeting",
     "stop stopping term;"
     "qmp-ready stopping -;"
     "stop stopping -;"
     "exited stopped end;",
     {0}},
    {"ctrl-c-during-the-hand-over",
     LOADED "stop stopping term; handed-over:prelaunch stopping -;",
     {0}},
    {"ctrl-c-powers-down",
     UP "stop stopping press;"
        "SHUTDOWN:guest-shutdown stopping -;"
        "closed stopping -;"
        "exited stopped end;",
     {0}},
    {"ctrl-c-and-nobody-obeys",
     UP "stop stopping press;"
        "due:1000 stopping press;"
        "late:100 stopping press;"
        "due:900 stopping quit;"
        "due:2000 stopping term;"
        "due:2000 stopping kill;"
        "due:800 stopped end;"
        "exited stopped -;",
     {0}},
    {"ctrl-c-twice-quits", UP "stop stopping press; stop stopping quit; stop stopping -;", {0}},
    {"terminal-closes", UP "hangup stopping press; hangup stopping -; time-limit stopping -;", {0}},
    {"time-limit", UP "time-limit stopping press; stop stopping quit;", {0}},
    {"stop-by-quit",
     UP "stop stopping quit; SHUTDOWN:host-qmp-quit stopping -; exited stopped end;",
     {.stop = CVD_STOP_QUIT}},
    {"stop-of-one-that-never-ran",
     LOADED "handed-over:prelaunch paused ready; stop stopping quit;",
     {.start_paused = TRUE}},
    {"stop-of-a-paused-guest-resumes-it",
     UP "pause running stop;"
        "STOP paused -;"
        "done paused query-status; status:paused paused -;"
        "stop stopping cont,press;"
        "RESUME stopping press;",
     {0}},
    {"stop-of-a-guest-that-stops-and-resumes-all-the-time",
     UP "stop stopping press;"
        "RESUME stopping press;"
        "STOP stopping query-status;"
        "RESUME stopping -;"
        "WAKEUP stopping -;"
        "due:1000 stopping press;"
        "RESUME stopping press;"
        "RESUME stopping -;",
     {0}},
    {"stop-of-a-faulted-guest-resumes-it-again-and-again",
     UP "STOP running query-status;"
        "status:io-error faulted -;"
        "stop stopping cont,press;"
        "RESUME stopping press;"
        "STOP stopping -;"
        "done stopping query-status;"
        "status:io-error stopping -;"
        "due:1000 stopping cont,press;",
     {0}},
    {"stop-of-a-sleeping-guest-wakes-it",
     UP "SUSPEND suspended -;"
        "stop stopping wake;"
        "WAKEUP stopping press;"
        "due:1000 stopping press;",
     {0}},
    {"reset-while-powering-down",
     UP "stop stopping press;"
        "RESET stopping stop;"
        "STOP stopping -;"
        "done stopping query-status; status:paused stopping clear,hold,cont;"
        "RESUME stopping press;"
        "done stopping -;"
        "due:500 stopping admit;"
        "due:500 stopping press;",
     {0}},
    {"reset-once-it-quits-is-nobodys-business",
     UP "stop stopping quit; RESET stopping -;",
     {.stop = CVD_STOP_QUIT}},
    {"guest-powers-off", UP "SHUTDOWN:guest-shutdown stopping -; exited stopped end;", {0}},
    {"guest-powers-off-but-qemu-stays",
     UP "SHUTDOWN:guest-shutdown stopping -;"
        "due:2000 stopping term;"
        "exited stopped end;",
     {RESTARTS, PANICS, REBOOTS}},
    {"guest-powers-off-and-its-connection-ends-first",
     UP "closed stopping -; SHUTDOWN:guest-shutdown stopping -; exited stopped end;",
     {0}},
    {"qemu-closes-a-connection-and-lives-on",
     UP "closed stopping -; due:2000 stopping kill; exited stopped end;",
     {0}},
    {"qemu-sends-no-qmp", UP "no-qmp stopping term; exited stopped end;", {0}},
    {"exit-is-seen-before-the-sockets-close", UP "exited stopped end; closed stopped -;", {0}},
    {"no-command-on-the-way-down",
     UP "stop stopping quit; STOP stopping -; pause stopping -;",
     {.stop = CVD_STOP_QUIT}},

    /* Time in which the launcher did not run */
    {"frozen-during-the-start", "late:4000 starting -; due:30000 stopping term;", {0}},
    {"frozen-and-then-qemu-answers-first", "late:4000 starting -;" UP, {0}},
    {"frozen-while-it-powers-down",
     UP "stop stopping press; late:60000 stopping -; due:1000 stopping press;",
     {0}},

    /* Restarts */
    {"crash",
     UP "closed restarting -;"
        "exited restarting report,renew;"
        "due:1000 starting start;" UP_AGAIN "exited restarting report,renew;"
        "due:2000 starting start;",
     {RESTARTS}},
    {"crash-of-one-that-is-to-exit", UP "exited stopped end;", {PANICS, REBOOTS}},
    {"crash-after-a-reset-lets-clients-in",
     UP "RESET running stop;"
        "STOP running -;"
        "done running query-status; status:paused running clear,hold,cont;"
        "exited restarting report,renew,admit;",
     {RESTARTS}},
    {"panic", UP "SHUTDOWN:guest-panic restarting -; exited restarting report,renew;", {PANICS}},
    {"panic-of-one-that-is-to-exit",
     UP "SHUTDOWN:guest-panic stopping -; exited stopped end;",
     {RESTARTS, REBOOTS}},
    {"watchdog-counts-as-a-panic",
     UP "WATCHDOG restarting quit; exited restarting report,renew;",
     {PANICS}},
    {"early-reboots-are-failures",
     UP "SHUTDOWN:guest-reset restarting -;"
        "exited restarting report,renew;"
        "due:1000 starting start;" UP_AGAIN "SHUTDOWN:host-qmp-system-reset restarting -;"
        "exited restarting report,renew;"
        "due:2000 starting start;",
     {REBOOTS}},
    {"late-reboot-is-none",
     UP "wait:10000 running -;"
        "SHUTDOWN:guest-reset restarting -;"
        "exited restarting report,renew;"
        "due:1 starting start;",
     {REBOOTS}},
    {"reboot-of-one-that-is-to-exit",
     UP "SHUTDOWN:guest-reset stopping -; exited stopped end;",
     {RESTARTS, PANICS}},
    {"power-off-is-the-end",
     UP "SHUTDOWN:guest-shutdown stopping -; exited stopped end;",
     {RESTARTS, PANICS, REBOOTS}},
    {"unresponsive-qemu-is-killed",
     UP "unresponsive restarting kill; exited restarting report,renew;",
     {RESTARTS}},
    {"qemu-that-cannot-be-killed-keeps-the-window",
     UP "unresponsive restarting kill; due:800 stopped end;",
     {RESTARTS}},
    {"restart-fails-to-start",
     UP "exited restarting report,renew;"
        "due:1000 starting start;"
        "start-failed restarting report;"
        "due:2000 starting start;"
        "due:30000 restarting term;"
        "exited restarting report,renew;"
        "due:4000 starting start;",
     {RESTARTS}},
    {"renewal-fails-and-is-tried-again",
     UP "exited restarting report,renew;"
        "renew-failed restarting report;"
        "due:2000 starting renew,start;"
        "renew-failed restarting report;"
        "due:4000 starting renew,start;" UP_AGAIN,
     {RESTARTS}},
    {"renewal-fails-for-one-that-is-to-exit",
     UP "restart restarting press;"
        "exited restarting report,renew;"
        "renew-failed stopped end;",
     {0}},
    {"ctrl-c-while-it-waits",
     UP "exited restarting report,renew; stop stopped end; stop stopped -;",
     {RESTARTS}},
    {"ctrl-c-while-the-failed-one-goes-down",
     UP "closed restarting -; stop stopping -; exited stopped end;",
     {RESTARTS}},
    {"ctrl-c-while-the-next-one-starts",
     UP "exited restarting report,renew;"
        "due:1000 starting start;"
        "stop stopping term;"
        "exited stopped end;",
     {RESTARTS}},
    {"restart-is-asked-for",
     UP "restart restarting press;"
        "restart restarting -;"
        "SHUTDOWN:guest-shutdown restarting -;"
        "exited restarting report,renew;"
        "due:1 starting start;" UP_AGAIN,
     {0}},
    {"restart-is-asked-for-and-then-a-stop",
     UP "restart restarting press; stop stopping -; restart stopping -; stop stopping quit;",
     {0}},
    {"restart-is-asked-for-while-it-waits",
     UP "exited restarting report,renew; restart restarting -; due:0 starting start;" UP_AGAIN,
     {RESTARTS}},
    {"restart-is-asked-for-while-it-crashes", /* and would give up */
     UP "exited restarting report,renew; due:1000 starting start;" UP_AGAIN
        "closed restarting -; restart restarting -; exited restarting report,renew;"
        "due:1 starting start;",
     {RESTARTS, .limit = 1}},

    /* When the guest is ready, of which UP knows nothing */
    {"ready-when-the-guest-says-so",
     UP "says-ready running+ready announce; says-ready running+ready -;",
     {ASKS}},
    {"ready-before-the-start-is-complete",
     LOADED "handed-over:prelaunch starting cont;"
            "RESUME starting -;"
            "says-ready starting -;"
            "done running+ready ready;",
     {ASKS}},
    {"guest-never-ready",
     UP "due:30000 stopping press; SHUTDOWN:guest-shutdown stopping -; exited stopped end;",
     {ASKS}},
    {"guest-never-ready-and-does-not-power-off",
     UP "due:30000 stopping press; due:1000 stopping press; due:1000 stopping press;"
        "due:1000 stopping quit; exited stopped end;",
     {ASKS}},
    {"guest-never-ready-and-stop-is-quit",
     UP "due:30000 stopping quit; exited stopped end;",
     {ASKS, .stop = CVD_STOP_QUIT}},
    {"guest-ready-too-late",
     UP "due:30000 stopping quit; says-ready stopping -; exited stopped end;",
     {ASKS, .stop = CVD_STOP_QUIT}},
    {"first-vm-is-never-ready",
     UP "due:30000 stopping quit; exited stopped end;",
     {ASKS, RESTARTS, .stop = CVD_STOP_QUIT}},
    {"later-vm-is-never-ready",
     UP "says-ready running+ready announce; exited restarting report,renew;"
        "due:1000 starting start;" UP_AGAIN "due:30000 restarting quit;"
        "exited restarting report,renew; due:2000 starting start;" UP_AGAIN
        "says-ready running+ready announce;",
     {ASKS, RESTARTS, .stop = CVD_STOP_QUIT}},
    {"crash-before-it-is-ready",
     UP "exited restarting report,renew; due:1000 starting start;" UP_AGAIN "due:30000 stopping "
        "quit;",
     {ASKS, RESTARTS, .stop = CVD_STOP_QUIT}},
    {"start-takes-some-of-the-time",
     "wait:10000 starting -;" UP "due:20000 stopping quit;",
     {ASKS, .stop = CVD_STOP_QUIT}},
    {"paused-before-it-is-ready",
     UP "wait:10000 running -;"
        "pause running stop; STOP paused -; done paused query-status; status:paused paused -;"
        "wait:100000 paused -;"
        "resume running cont; RESUME running -; done running -;"
        "due:20000 stopping press;",
     {ASKS}},
    {"sleeps-before-it-is-ready",
     UP "SUSPEND suspended -; wait:100000 suspended -; WAKEUP running -; due:30000 stopping press;",
     {ASKS}},
    {"faulted-before-it-is-ready",
     UP "STOP running query-status; status:io-error faulted -; wait:100000 faulted -;"
        "resume faulted cont; RESUME running -; done running -; says-ready running+ready announce;",
     {ASKS}},
    {"start-paused-and-then-ready",
     LOADED "handed-over:prelaunch paused ready; wait:100000 paused -;"
            "resume running cont; RESUME running -; done running -;"
            "says-ready running+ready announce;",
     {ASKS, .start_paused = TRUE}},
    {"paused-when-it-is-ready",
     UP "says-ready running+ready announce;"
        "pause running+ready stop; STOP paused+ready -; done paused+ready query-status;"
        "status:paused paused+ready -;",
     {ASKS}},
    {"reset-before-it-is-ready",
     UP "wait:10000 running -;"
        "RESET running stop; STOP running -; done running query-status;"
        "status:paused running clear,hold,cont; RESUME running -; done running -;"
        "due:500 running admit; due:19500 stopping press;",
     {ASKS}},
    {"ready-before-the-tables-are-cleared", /* as a new guest may be faster than we are */
     UP "RESET running stop; says-ready running+ready announce; STOP running+ready -;"
        "done running+ready query-status; status:paused running+ready clear,hold,cont;"
        "RESUME running+ready -; done running+ready -;",
     {ASKS}},
    {"reset-when-it-is-ready", /* which no limit is for */
     UP "says-ready running+ready announce;"
        "RESET running stop; STOP running -; done running query-status;"
        "status:paused running clear,hold,cont; RESUME running -; done running -;"
        "due:500 running admit; wait:100000 running -; says-ready running+ready announce;",
     {ASKS}},
    {"reset-of-a-sleeping-one-that-is-ready", /* which is over at once */
     UP "says-ready running+ready announce; SUSPEND suspended+ready -;"
        "RESET running clear,hold,cont; RESUME running -; says-ready running+ready announce;",
     {ASKS}},
    {"frozen-before-it-is-ready", UP "late:60000 running -; due:30000 stopping press;", {ASKS}},
    {"stop-before-it-is-ready",
     UP "stop stopping press; says-ready stopping -; SHUTDOWN:guest-shutdown stopping -;"
        "exited stopped end;",
     {ASKS}},
    {"ready-of-the-one-before",
     UP "says-ready running+ready announce; restart restarting quit;"
        "exited restarting report,renew; says-ready restarting -;"
        "due:1 starting start;" UP_AGAIN "says-ready running+ready announce;",
     {ASKS, .stop = CVD_STOP_QUIT}},
    {"ready-without-programs", UP_READY, {PROGRAMS}},
    {"all-programs-ready-before-it-runs",
     LOADED "handed-over:prelaunch starting -; programs-ready starting cont; all-ready starting -;"
            "RESUME starting -; done running+ready ready; all-ready running+ready -;",
     {PROGRAMS, .n_programs = 2}},
    {"all-programs-ready-later", /* as a user starts one again, for instance */
     UP_WITH_PROGRAMS "says-ready running -; all-ready running+ready announce;"
                      "RESET running+ready stop;",
     {PROGRAMS, .n_programs = 2}},
    {"programs-never-all-ready",
     UP_WITH_PROGRAMS "due:30000 stopping press; all-ready stopping -; exited stopped end;",
     {PROGRAMS, .n_programs = 2}},
    {"programs-of-the-vm-before",
     UP_WITH_PROGRAMS "all-ready running+ready announce; restart restarting quit;"
                      "exited restarting report,renew; due:1 starting start;" UP_WITH_PROGRAMS
                      "all-ready running+ready announce;",
     {PROGRAMS, .n_programs = 2, .stop = CVD_STOP_QUIT}},
    {"start-paused-and-then-ready-with-the-programs",
     LOADED "handed-over:prelaunch paused ready; wait:100000 paused -; resume running cont;"
            "RESUME running+ready announce;",
     {PROGRAMS, .start_paused = TRUE}},

    /* Snapshots */
    {"snapshot-and-on",
     SAVED "saved running cont; RESUME running admit; done running -;"
           "snapshot-ended running -; snapshot running hold,stop;",
     {0}},
    {"snapshot-and-stop",
     SAVED "snapshot-ended stopping quit; SHUTDOWN:host-qmp-quit stopping -; exited stopped end;",
     {RESTARTS, REBOOTS}},
    {"snapshot-of-a-paused-guest-leaves-it-paused",
     PAUSED "snapshot paused hold,save; saved paused admit; snapshot-ended paused -;"
            "resume running cont;",
     {0}},
    {"snapshot-of-a-paused-guest-and-stop",
     PAUSED "snapshot paused hold,save; snapshot-ended stopping quit;",
     {0}},
    {"pause-while-it-is-saved", SAVED "pause paused -; saved paused admit;", {0}},
    {"resume-while-it-is-saved",
     PAUSED "snapshot paused hold,save; resume paused -; saved running cont;",
     {0}},
    {"snapshot-while-cont-is-under-way",
     PAUSED "resume running cont; snapshot paused hold; RESUME running -; done running stop;"
            "STOP paused -; done paused query-status; status:paused paused save;",
     {0}},
    {"snapshot-while-the-guest-is-reset", /* which goes first */
     UP "RESET running stop; snapshot running hold; STOP paused -; done paused query-status;"
        "status:paused paused clear,save; saved running cont; RESUME running -; done running -;"
        "due:500 running admit;",
     {0}},
    {"reset-before-it-is-stopped",
     UP "snapshot running hold,stop; RESET running -; STOP paused -; done paused query-status;"
        "status:paused paused clear,save;",
     {0}},
    {"snapshot-between-two-resets-of-seabios",
     UP "RESET running stop; STOP running -; done running query-status;"
        "status:paused running clear,hold,cont; RESUME running -; done running -;"
        "snapshot running stop; STOP paused -; done paused query-status; status:paused paused save;"
        "saved running cont; RESUME running -; done running -; due:500 running admit;",
     {0}},
    {"reset-while-it-is-saved",
     SAVED "RESET paused clear,cancel; snapshot-failed running cont; RESUME running -;"
           "done running -; due:500 running admit;",
     {0}},
    {"somebody-resumes-it-while-it-is-saved",
     SAVED "RESUME running admit,cancel; snapshot-failed running -;",
     {0}},
    {"snapshot-fails", SAVED "snapshot-failed running cont; RESUME running admit;", {0}},
    {"snapshot-fails-and-cont-is-refused",
     SAVED "snapshot-failed running cont; refused faulted admit; resume running cont;",
     {0}},
    {"guest-sleeps-before-it-is-stopped",
     UP "snapshot running hold,stop; SUSPEND suspended -; done suspended query-status;"
        "status:suspended suspended cancel; snapshot-failed suspended admit;",
     {0}},
    {"disk-full-before-it-is-stopped",
     UP "snapshot running hold,stop; STOP paused -; done paused query-status;"
        "status:io-error faulted cancel; snapshot-failed faulted admit;",
     {0}},
    {"snapshot-of-an-incoming-migration",
     "qmp-ready starting hand-over; handed-over:inmigrate paused ready;"
     "snapshot paused hold,cancel; snapshot-failed paused admit;",
     {0}},
    {"ctrl-c-before-it-is-stopped",
     UP "snapshot running hold,stop; stop stopping cancel,press; snapshot-failed stopping admit;"
        "STOP stopping -; done stopping query-status; status:paused stopping cont;"
        "RESUME stopping press;",
     {0}},
    {"ctrl-c-while-it-is-saved",
     SAVED "stop stopping cancel,press; snapshot-failed stopping cont;"
           "RESUME stopping admit,press; SHUTDOWN:guest-shutdown stopping -; exited stopped end;",
     {0}},
    {"ctrl-c-while-it-is-saved-and-stop-is-quit",
     SAVED "stop stopping cancel,quit; exited stopped end; snapshot-failed stopped -;",
     {.stop = CVD_STOP_QUIT}},
    {"terminal-closes-while-it-is-saved", SAVED "hangup stopping cancel,press;", {0}},
    {"time-limit-while-it-is-saved", SAVED "time-limit stopping cancel,press;", {0}},
    {"ctrl-c-when-it-is-saved",
     SAVED "saved running cont; RESUME running admit; done running -;"
           "stop stopping cancel,press; snapshot-failed stopping -;",
     {0}},
    {"internal-error-when-it-is-saved",
     SAVED "saved running cont; RESUME running admit; done running -; STOP running query-status;"
           "status:internal-error stopping cancel,quit;",
     {0}},
    {"crash-while-it-is-saved",
     SAVED "closed restarting cancel; exited restarting report,renew,admit;"
           "due:1000 starting start; snapshot-failed starting -;" UP_AGAIN
           "snapshot running hold,stop;",
     {RESTARTS}},
    {"unresponsive-while-it-is-saved", SAVED "unresponsive stopping cancel,kill;", {0}},

    {"gives-up",
     UP "exited restarting report,renew; due:1000 starting start;" UP_AGAIN "exited stopped end;",
     {RESTARTS, .limit = 1}},
    {"gives-up-ten-minutes-after-the-first",
     UP "exited restarting report,renew; due:1000 starting start;" UP_AGAIN
        "wait:599000 running -; exited stopped end;",
     {RESTARTS, .limit = 1}},
    {"goes-on-later-than-that", /* for as long as failures are so rare */
     UP "exited restarting report,renew; due:1000 starting start;" UP_AGAIN
        "wait:599001 running -; exited restarting report,renew; due:1000 starting start;" UP_AGAIN
        "exited stopped end;",
     {RESTARTS, .limit = 1}},
};

typedef struct {
    CvdLifecycle lifecycle;
    gint64 now_us;
} Play;

/* One at a time. */
static Play begin(const Settings *settings)
{
    static char *hook[] = {(char *)"true", NULL};
    static char *pin[] = {(char *)"0", (char *)"1", NULL};
    static CvdConfig config;
    Play play = {
        .lifecycle = {.config = &config,
                      .start_paused = settings->start_paused,
                      .is_restored = settings->is_restored,
                      .prepare_s = settings->is_restored ? 600 : 0},
        .now_us = S,
    };

    config = (CvdConfig){
        .ivshmem_force_bus_master = settings->wants_bus_master,
        .qemu = {.cpus = {.pin = settings->wants_pin ? pin : NULL}},
        .start_timeout_s = 30,
        .ready = settings->ready,
        .n_programs = settings->n_programs,
        .hooks = {.before_start = settings->has_hook ? hook : NULL, .timeout_s = 20},
        .stop = settings->stop,
        .stop_timeout_s = 3,
        .on_crash = settings->on_crash,
        .on_panic = settings->on_panic,
        .on_reboot = settings->on_reboot,
        .restart_limit = settings->limit > 0 ? settings->limit : 5,
        .restart_delay_ms = 1000,
    };
    guint actions =
        cvd_lifecycle_step(&play.lifecycle, CVD_EVENT_STARTED, CVD_RUN_UNKNOWN, play.now_us);

    g_assert_cmphex(actions, ==, 0);
    return play;
}

static CvdEvent parse_event(const char *word)
{
    for (CvdEvent event = 0; event < CVD_N_EVENTS; event++)
        if (strcmp(lifecycle_event_names[event], word) == 0)
            return event;
    g_error("no event: %s", word);
}

/* Moves the clock for a timer; returns the event that it is. */
static const char *pass_time(Play *play, const char *word, const char *value)
{
    gint64 due_us = cvd_lifecycle_get_due_us(&play->lifecycle);
    gint64 ms = value != NULL ? g_ascii_strtoll(value, NULL, 10) : 0;

    if (strcmp(word, "due") == 0) {
        g_assert_cmpint(due_us, ==, play->now_us + MS * ms);
        play->now_us = due_us;
    } else if (strcmp(word, "late") == 0) {
        play->now_us = due_us + MS * ms;
    } else if (strcmp(word, "wait") == 0) {
        g_assert_true(due_us == 0 || due_us > play->now_us + MS * ms);
        play->now_us += MS * ms;
    } else {
        return word;
    }
    return "due";
}

static void play_line(Play *play, const char *line)
{
    g_auto(GStrv) words = g_strsplit(line, " ", 3);
    g_auto(GStrv) event = g_strsplit(words[0], ":", 2);
    const char *name = pass_time(play, event[0], event[1]);
    CvdRunState run_state = cvd_run_state_parse(event[1]);

    if (strcmp(name, "SHUTDOWN") == 0)
        cvd_lifecycle_note_shutdown(&play->lifecycle, event[1]);
    guint actions =
        cvd_lifecycle_step(&play->lifecycle, parse_event(name), run_state, play->now_us);
    g_autofree char *done = lifecycle_actions_to_text(actions, play->lifecycle.guest.command);
    gboolean is_ready = play->lifecycle.config->ready != CVD_MACHINE_READY_RUNNING &&
                        play->lifecycle.readiness.is_ready;
    g_autofree char *state =
        g_strconcat(cvd_state_get_name(cvd_lifecycle_get_state(&play->lifecycle)),
                    is_ready ? "+ready" : "", NULL);
    g_test_message("%s", line);
    g_assert_cmpstr(state, ==, words[1]);
    g_assert_cmpstr(done[0] != '\0' ? done : "-", ==, words[2]);
}

static Play play_all(const char *steps, const Settings *settings)
{
    Play play = begin(settings);
    g_auto(GStrv) lines = g_strsplit(steps, ";", -1);

    for (char **line = lines; *line != NULL; line++)
        if (g_strstrip(*line)[0] != '\0')
            play_line(&play, *line);
    return play;
}

static void policy_clear(CvdPolicy *policy)
{
    cvd_retry_clear(&policy->retry);
}

static void test_story(gconstpointer data)
{
    const Story *story = data;
    Play play = play_all(story->steps, &story->settings);

    policy_clear(&play.lifecycle.policy);
}

/* ---- Answers ---- */

#define PENDING CVD_ANSWER_PENDING
#define DONE    CVD_ANSWER_DONE
#define FAILED  CVD_ANSWER_FAILED

/* After which steps somebody who asked for a pause, a resume or a reset is told what. */
typedef struct {
    const char *title;
    CvdAwaited awaited;
    const char *steps;
    CvdAnswer answer;
} Answer;

static const Answer answers[] = {
    {"pause-sent", CVD_AWAITED_PAUSE, UP "pause running stop; STOP paused -;", PENDING},
    {"paused", CVD_AWAITED_PAUSE,
     UP "pause running stop; STOP paused -; done paused query-status; status:paused paused -;",
     DONE},
    {"pause-in-a-sleep", CVD_AWAITED_PAUSE, UP "SUSPEND suspended -; pause suspended -;", DONE},
    {"pause-undone", CVD_AWAITED_PAUSE, UP "pause running stop; resume running -;", FAILED},
    {"pause-too-late", CVD_AWAITED_PAUSE, UP "pause running stop; closed stopping -;", FAILED},
    {"resume-sent", CVD_AWAITED_RESUME, "pause starting -; resume starting -;" LOADED, PENDING},
    {"resumed", CVD_AWAITED_RESUME, UP, DONE},
    {"resume-refused", CVD_AWAITED_RESUME,
     UP
     "STOP running query-status; status:paused paused -; resume running cont; refused faulted -;",
     FAILED},
    {"resume-of-one-that-is-saved", CVD_AWAITED_RESUME,
     PAUSED "snapshot paused hold,save; resume paused -;", PENDING},
    {"pause-of-one-that-is-saved", CVD_AWAITED_PAUSE, SAVED "pause paused -;", DONE},
    {"reset-sent", CVD_AWAITED_RESET, UP, PENDING},
    {"reset-runs", CVD_AWAITED_RESET,
     UP "RESET running stop; STOP running -; done running query-status; status:paused running "
        "clear,hold,cont; RESUME running -; "
        "done running -;",
     PENDING},
    {"reset", CVD_AWAITED_RESET,
     UP "RESET running stop; STOP running -; done running query-status; status:paused running "
        "clear,hold,cont; RESUME running -; "
        "done running -; due:500 running admit;",
     DONE},
    {"reset-of-a-paused-one", CVD_AWAITED_RESET,
     UP "pause running stop; STOP paused -; done paused query-status; status:paused paused -; "
        "RESET paused clear,hold;",
     DONE},
    {"reset-is-its-end", CVD_AWAITED_RESET, UP "SHUTDOWN:host-qmp-system-reset stopping -;", DONE},
    {"reset-and-then-a-crash", CVD_AWAITED_RESET, UP "RESET running stop; closed stopping -;",
     FAILED},
};

static void test_answer(gconstpointer data)
{
    const Answer *row = data;
    Play play = play_all(row->steps, &(Settings){0});

    g_assert_cmpint(cvd_lifecycle_get_answer(&play.lifecycle, row->awaited, 0), ==, row->answer);
}

/* Each verb with the states in which it is refused. */
static void test_verbs(void)
{
    static const struct {
        const char *method;
        const char *refused;
    } rows[] = {
        {"Stop", ""},
        {"Restart", "stopping stopped failed "},
        {"Reset", "starting stopping restarting stopped failed "},
        {"Pause", "stopping restarting stopped failed "},
        {"Resume", "stopping restarting stopped failed "},
        {"Snapshot", "starting suspended faulted stopping restarting stopped failed "},
        {"PowerButton", "starting paused suspended faulted stopping restarting stopped failed "},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        const CvdVerb *verb = cvd_verb_find(rows[i].method);
        g_autoptr(GString) refused = g_string_new(NULL);
        for (CvdState state = CVD_STATE_STARTING; state <= CVD_STATE_FAILED; state++)
            if (cvd_verb_get_obstacle(verb, state) != NULL)
                g_string_append_printf(refused, "%s ", cvd_state_get_name(state));
        g_assert_cmpstr(refused->str, ==, rows[i].refused);
    }
}

/* What to do before is a matter of the state. */
static void test_obstacles(void)
{
    const CvdVerb *reset = cvd_verb_find("Reset"), *button = cvd_verb_find("PowerButton");

    g_assert_cmpstr(cvd_verb_get_obstacle(reset, CVD_STATE_STARTING), ==,
                    "wait until it has started");
    g_assert_cmpstr(cvd_verb_get_obstacle(reset, CVD_STATE_RESTARTING), ==,
                    "wait until it has started");
    g_assert_cmpstr(cvd_verb_get_obstacle(button, CVD_STATE_PAUSED), ==,
                    "wait until it is running");
    g_assert_cmpstr(cvd_verb_get_obstacle(button, CVD_STATE_STOPPING), ==,
                    "start it again when it has ended");
}

/* Each method that neither takes nor returns anything is a verb. */
static void test_methods(void)
{
    GDBusInterfaceInfo *info = cvd_dbus_instance1_interface_info();

    for (GDBusMethodInfo **method = info->methods; *method != NULL; method++)
        if ((*method)->in_args == NULL && (*method)->out_args == NULL &&
            cvd_verb_find((*method)->name) == NULL)
            g_error("%s is not in the table of verbs", (*method)->name);
}

/* A process that nothing has an effect on. */
static void test_longest_stop(void)
{
    const gint64 begin_us = 5 * G_USEC_PER_SEC;
    CvdLadder ladder = cvd_ladder_start(30, 0);
    gint64 now_us = begin_us;

    cvd_ladder_ready(&ladder);
    cvd_ladder_descend(&ladder, CVD_LADDER_POWERING_DOWN, 3, begin_us);
    while (ladder.due_us != 0) {
        now_us = ladder.due_us;
        cvd_ladder_time_passed(&ladder, now_us);
    }
    g_assert_cmpint(ladder.state, ==, CVD_LADDER_ABANDONED);
    g_assert_cmpint(now_us - begin_us, ==, cvd_ladder_get_longest_us(3));
}

/* ---- Words ---- */

static const struct {
    const char *steps;
    gboolean start_paused;
    const char *fault;
    const char *reason;
} reasons[] = {
    {UP, FALSE, NULL, ""},
    {LOADED "handed-over:prelaunch paused ready;", TRUE, NULL, "started with --paused"},
    {UP "pause running stop; STOP paused -;", FALSE, NULL, "a pause was asked for"},
    {UP "STOP running query-status;", FALSE, NULL, ""},
    {SAVED, FALSE, NULL, "a snapshot is taken"},
    {PAUSED "snapshot paused hold,save;", FALSE, NULL, "a snapshot is taken"},
    {SAVED "snapshot-ended stopping quit;", FALSE, NULL, "its snapshot is complete"},
    {UP "STOP running query-status; status:paused paused -;", FALSE, NULL,
     "somebody else stopped it over QMP"},
    {"qmp-ready starting hand-over; handed-over:inmigrate paused ready;", FALSE, NULL,
     "it waits for an incoming migration"},
    {UP "SUSPEND suspended -;", FALSE, NULL, "the guest sleeps"},
    {UP "SUSPEND suspended -; pause suspended -;", FALSE, NULL,
     "the guest sleeps; paused when it wakes up"},
    {UP "STOP running query-status; status:io-error faulted -;", FALSE, "disk0: No space left",
     "disk0: No space left"},
    {UP "STOP running query-status; status:io-error faulted -;", FALSE, NULL, "a disk error"},
    {UP "STOP running query-status; status:guest-panicked faulted -;", FALSE, NULL,
     "the guest panicked"},
    {UP "STOP running query-status; status:io-error faulted -; resume faulted cont;"
        "refused faulted -;",
     FALSE, NULL, "QEMU refuses to resume it"},
    {UP "stop stopping press;", FALSE, NULL, "a stop was asked for"},
    {UP "no-qmp stopping term;", FALSE, NULL, "what QEMU sends over QMP is no QMP"},
    {UP "SHUTDOWN:guest-panic stopping -;", FALSE, NULL, "guest panicked"},
};

static const struct {
    const char *steps;
    const char *reason;
} reasons_of_readiness[] = {
    {LOADED, ""},
    {UP, "the guest has not said yet that it is ready"},
    {UP "pause running stop; STOP paused -;", "a pause was asked for"},
    {UP "due:30000 stopping press;", "it was not ready in time"},
    {UP "says-ready running+ready announce;", ""},
    {UP "says-ready running+ready announce; RESET running stop;",
     "the guest has not said yet that it is ready"},
};

static void test_reasons_of_readiness(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(reasons_of_readiness); i++) {
        Play play = play_all(reasons_of_readiness[i].steps, &(Settings){ASKS});
        g_autofree char *reason = cvd_describe_state(&play.lifecycle, NULL);
        g_assert_cmpstr(reason, ==, reasons_of_readiness[i].reason);
    }
}

/* What a snapshot that is cancelled is told. */
static void test_obstacles_of_saving(void)
{
    static const struct {
        const char *steps;
        const char *text;
    } rows[] = {
        {SAVED, ""},
        {SAVED "stop stopping cancel,press;", ""}, /* the state says it */
        {SAVED "RESET paused clear,cancel;", "the guest was reset meanwhile"},
        {SAVED "RESUME running admit,cancel;", "somebody else resumed the guest meanwhile"},
        {UP "snapshot running hold,stop; STOP paused -; done paused query-status;"
            "status:io-error faulted cancel;",
         "QEMU stopped the guest by itself"},
        {UP "snapshot running hold,stop; SUSPEND suspended -; done suspended query-status;"
            "status:suspended suspended cancel;",
         "the guest sleeps"},
        {"qmp-ready starting hand-over; handed-over:inmigrate paused ready;"
         "snapshot paused hold,cancel;",
         "it waits for an incoming migration"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        Play play = play_all(rows[i].steps, &(Settings){0});
        g_assert_cmpstr(cvd_saving_describe_obstacle(&play.lifecycle.saving), ==, rows[i].text);
    }
}

static void test_reasons(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(reasons); i++) {
        Play play =
            play_all(reasons[i].steps, &(Settings){.start_paused = reasons[i].start_paused});
        g_autofree char *reason = cvd_describe_state(&play.lifecycle, reasons[i].fault);
        g_assert_cmpstr(reason, ==, reasons[i].reason);
    }
}

typedef struct {
    const char *title;
    CvdCause cause;
    gboolean is_ready;
    const char *reason;
    CvdExit qemu;
    int exit_status;
    const char *words;
} Verdict;

#define EXITED(status)                                                                             \
    {                                                                                              \
        .is_known = TRUE, .value = status                                                          \
    }
#define KILLED(number, dumps)                                                                      \
    {                                                                                              \
        .is_known = TRUE, .is_signal = TRUE, .value = number, .has_core = dumps                    \
    }

static const Verdict verdicts[] = {
    {"out-of-memory",
     CVD_CAUSE_QEMU_EXITED,
     TRUE,
     NULL,
     {.is_known = TRUE, .is_signal = TRUE, .value = SIGKILL, .is_out_of_memory = TRUE},
     1,
     "qemu needed more memory than qemu.memory_limit, and was killed"},
    {"power-off", CVD_CAUSE_VM_SHUTDOWN, TRUE, "guest-shutdown", EXITED(0), 0, "guest powered off"},
    {"power-off-then-crash", CVD_CAUSE_VM_SHUTDOWN, TRUE, "guest-shutdown", KILLED(SIGSEGV, TRUE),
     1, "guest powered off, but qemu was killed by signal 11 (core dumped)"},
    {"power-off-but-unkillable",
     CVD_CAUSE_VM_SHUTDOWN,
     TRUE,
     "guest-shutdown",
     {0},
     1,
     "left behind"},
    {"asked-then-crash", CVD_CAUSE_STOP_REQUESTED, TRUE, "guest-shutdown", KILLED(SIGABRT, FALSE),
     0, "stopped, though qemu was killed by signal 6"},
    {"panic", CVD_CAUSE_VM_SHUTDOWN, TRUE, "guest-panic", EXITED(0), 1, "guest panicked"},
    {"shutdown-for-an-unknown-reason", CVD_CAUSE_VM_SHUTDOWN, TRUE, "sudden-hunger", EXITED(0), 1,
     "unknown"},
    {"asked", CVD_CAUSE_STOP_REQUESTED, TRUE, "host-qmp-quit", EXITED(0), 0, "stopped"},
    {"asked-and-the-guest-obeyed", CVD_CAUSE_STOP_REQUESTED, TRUE, "guest-shutdown", EXITED(0), 0,
     "stopped: the guest powered off"},
    {"asked-and-killed", CVD_CAUSE_STOP_REQUESTED, TRUE, NULL, KILLED(SIGKILL, FALSE), 0,
     "had to be killed"},
    {"asked-during-start", CVD_CAUSE_STOP_REQUESTED, FALSE, NULL, KILLED(SIGHUP, FALSE), 0,
     "stopped"},
    {"asked-but-unkillable", CVD_CAUSE_STOP_REQUESTED, TRUE, NULL, {0}, 1, "left behind"},
    {"snapshot-is-complete", CVD_CAUSE_SNAPSHOT, TRUE, "host-qmp-quit", EXITED(0), 0, "stopped"},
    {"time-limit", CVD_CAUSE_TIME_LIMIT, TRUE, NULL, EXITED(0), 1, "--timeout"},
    {"start-timed-out", CVD_CAUSE_START_TIMED_OUT, FALSE, NULL, KILLED(SIGHUP, FALSE), 1,
     "lifecycle.start_timeout_s"},
    {"crash-with-core", CVD_CAUSE_QEMU_EXITED, TRUE, NULL, KILLED(SIGSEGV, TRUE), 1,
     "qemu was killed by signal 11 (core dumped)"},
    {"sandbox", CVD_CAUSE_QEMU_EXITED, TRUE, NULL, KILLED(SIGSYS, FALSE), 1, "qemu.sandbox"},
    {"exit-before-running", CVD_CAUSE_QEMU_EXITED, FALSE, NULL, EXITED(1), 1,
     "qemu exited with status 1 before the VM was running"},
};

static void test_verdict(gconstpointer data)
{
    const Verdict *row = data;
    static const CvdConfig config;
    CvdLifecycle lifecycle = {.config = &config,
                              .policy.follow = CVD_FOLLOW_END,
                              .cause = row->cause,
                              .is_ready = row->is_ready};

    if (row->reason != NULL)
        cvd_lifecycle_note_shutdown(&lifecycle, row->reason);
    int exit_status;
    g_autofree char *text = cvd_verdict(&lifecycle, "qemu", row->qemu, &exit_status);
    g_assert_cmpint(exit_status, ==, row->exit_status);
    g_assert_nonnull(strstr(text, row->words));
}

static void test_not_ready_in_words(void)
{
    Play play = play_all(UP "due:30000 stopping quit; exited stopped end;",
                         &(Settings){ASKS, .stop = CVD_STOP_QUIT});
    CvdConfig with_pattern = *play.lifecycle.config;
    int exit_status;
    g_autofree char *text =
        cvd_verdict(&play.lifecycle, "qemu", (CvdExit){.is_known = TRUE}, &exit_status);

    g_assert_cmpint(exit_status, ==, 1);
    g_assert_cmpstr(text, ==,
                    "the VM ran, but was not ready within lifecycle.start_timeout_s (30 s): the "
                    "guest did not say so (lifecycle.ready is \"guest\")");
    with_pattern.ready_pattern = (char *)"login:";
    play.lifecycle.config = &with_pattern;
    g_free(text);
    text = cvd_verdict(&play.lifecycle, "qemu", (CvdExit){.is_known = TRUE}, &exit_status);
    g_assert_nonnull(strstr(text, "no line of its console matched lifecycle.ready_pattern"));
    policy_clear(&play.lifecycle.policy);
}

static void test_gives_up_in_words(void)
{
    Play play = play_all(UP "exited restarting report,renew; due:1000 starting start;" UP_AGAIN
                            "exited stopped end;",
                         &(Settings){RESTARTS, .limit = 1});
    int exit_status;
    g_autofree char *text =
        cvd_verdict(&play.lifecycle, "qemu", (CvdExit)KILLED(9, FALSE), &exit_status);

    g_assert_cmpint(exit_status, ==, 1);
    g_assert_cmpstr(text, ==,
                    "qemu was killed by signal 9; given up, as that makes 2 failures within 10 "
                    "minutes (lifecycle.restart_limit is 1)");
    policy_clear(&play.lifecycle.policy);
}

/* ---- Restart policy ---- */

/* Returns: the delay before the restart, milliseconds; −1: there is none */
static gint64 fail_at(CvdPolicy *policy, const CvdConfig *config, gint64 now_us)
{
    policy->was_ready = TRUE;
    cvd_policy_end(policy, config, CVD_CAUSE_QEMU_EXITED, CVD_SHUTDOWN_NONE, now_us);
    return policy->follow == CVD_FOLLOW_RESTART ? (policy->due_us - now_us) / MS : -1;
}

static void test_policy_forgets(void)
{
    static const CvdConfig config = {RESTARTS, .restart_limit = 2, .restart_delay_ms = 1000};
    const gint64 later_us = 1000 * (gint64)S;
    CvdPolicy policy = {0};

    g_assert_cmpint(fail_at(&policy, &config, later_us), ==, 1000);
    g_assert_cmpint(fail_at(&policy, &config, later_us + S), ==, 2000);
    /* The first is just 10 minutes old and counts; then it does not any more. */
    g_assert_cmpint(fail_at(&policy, &config, later_us + CVD_RESTART_WINDOW_US), ==, -1);

    policy_clear(&policy);
    policy = (CvdPolicy){0};
    g_assert_cmpint(fail_at(&policy, &config, later_us), ==, 1000);
    g_assert_cmpint(fail_at(&policy, &config, later_us + S), ==, 2000);
    g_assert_cmpint(fail_at(&policy, &config, later_us + CVD_RESTART_WINDOW_US + 1), ==, 2000);
    g_assert_cmpuint(policy.retry.n_failures, ==, 2);
    policy_clear(&policy);
}

/* Without a delay the restart is an event of its own all the same, a millisecond later. */
static void test_policy_delays(void)
{
    static const struct {
        guint first_ms, expected_ms[7];
    } series[] = {
        {1000, {1000, 2000, 4000, 8000, 16000, 30000, 30000}},
        {0, {1, 1, 1, 1, 1, 1, 1}},
        {30000, {30000, 30000, 30000, 30000, 30000, 30000, 30000}},
        {G_MAXUINT, {30000, 30000, 30000, 30000, 30000, 30000, 30000}},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(series); i++) {
        CvdConfig config = {RESTARTS, .restart_limit = 100, .restart_delay_ms = series[i].first_ms};
        CvdPolicy policy = {0};
        for (gsize j = 0; j < G_N_ELEMENTS(series[i].expected_ms); j++)
            g_assert_cmpint(fail_at(&policy, &config, (gint64)j), ==, series[i].expected_ms[j]);
        policy_clear(&policy);
    }
}

static void test_policy_never(void)
{
    static const CvdConfig config = {RESTARTS, .restart_limit = 0, .restart_delay_ms = 1000};
    CvdPolicy policy = {0};

    g_assert_cmpint(fail_at(&policy, &config, 0), ==, -1);
    policy_clear(&policy);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add_rows(g_test_add_data_func, "/lifecycle/", stories, test_story);
    test_add_rows(g_test_add_data_func, "/lifecycle/answer/", answers, test_answer);
    test_add_rows(g_test_add_data_func, "/lifecycle/verdict/", verdicts, test_verdict);
    g_test_add_func("/lifecycle/longest-stop", test_longest_stop);
    g_test_add_func("/lifecycle/verdict/gives-up", test_gives_up_in_words);
    g_test_add_func("/lifecycle/verdict/not-ready", test_not_ready_in_words);
    g_test_add_func("/lifecycle/reasons-of-readiness", test_reasons_of_readiness);
    g_test_add_func("/lifecycle/verbs", test_verbs);
    g_test_add_func("/lifecycle/obstacles", test_obstacles);
    g_test_add_func("/lifecycle/methods", test_methods);
    g_test_add_func("/lifecycle/obstacles-of-saving", test_obstacles_of_saving);
    g_test_add_func("/lifecycle/reasons", test_reasons);
    g_test_add_func("/lifecycle/policy/forgets", test_policy_forgets);
    g_test_add_func("/lifecycle/policy/delays", test_policy_delays);
    g_test_add_func("/lifecycle/policy/never", test_policy_never);
    return g_test_run();
}
