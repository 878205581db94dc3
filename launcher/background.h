/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/instance-dir.h"
#include "launcher/lifecycle/event.h"

G_BEGIN_DECLS

/**
 * CvdBackgroundMessage:
 *
 * What the two processes of `--detach` and `--console` send each other, a byte each, on a pair of
 * connected SOCK_SEQPACKET sockets. The end of the connection says that the other one is gone.
 */
typedef enum {
    /* to the machine's process: */
    CVD_BACKGROUND_GO = 'g',     /* the other one is prepared */
    CVD_BACKGROUND_STOP = 's',   /* as SIGTERM */
    CVD_BACKGROUND_QUIT = 'q',   /* as two of them */
    CVD_BACKGROUND_HANGUP = 'h', /* as SIGHUP */
    CVD_BACKGROUND_LEAVE = 'l',  /* go on alone */
    /* from it: */
    CVD_BACKGROUND_ENTERED = 'e', /* it has a session of its own, and waits */
    CVD_BACKGROUND_CONSOLE = 'c', /* with the console, a stream socket */
    CVD_BACKGROUND_READY = 'r',   /* the start is complete, and stderr is left alone */
} CvdBackgroundMessage;

/**
 * cvd_background_receive:
 * @link: the connection
 * @fd: (out) (nullable): the descriptor that came with it, or −1
 *
 * Returns: the next message; 0: the other process is gone; −1: there is none yet
 */
int cvd_background_receive(int link, int *fd);

/**
 * CvdBackgroundOutput:
 * @CVD_BACKGROUND_OUTPUT_UNTIL_READY: stdout and stderr as they are, until the start is complete
 * @CVD_BACKGROUND_OUTPUT_UNTIL_LEFT: stderr as it is, until the other process leaves; no stdout
 */
typedef enum {
    CVD_BACKGROUND_OUTPUT_UNTIL_READY,
    CVD_BACKGROUND_OUTPUT_UNTIL_LEFT,
} CvdBackgroundOutput;

/**
 * cvd_background_enter:
 * @take_link: the connection to the process in the foreground
 * @output: for how long it keeps what it shares with it
 * @kept: (array length=n_kept): descriptors that the machine has from before
 *
 * In a process that was just forked, for the machine: it gets a session of its own, without a
 * terminal, stdin from /dev/null, and no descriptor that others could wait for the end of. Then it
 * waits for a first message, most often %CVD_BACKGROUND_GO.
 */
void cvd_background_enter(int take_link, CvdBackgroundOutput output, const int *kept, guint n_kept);

/** cvd_background_is_entered: Returns: whether this is such a process */
gboolean cvd_background_is_entered(void);

/** cvd_background_get_way_to_quit: Returns: (transfer none): how the user quits at once, once a
 * stop is under way */
const char *cvd_background_get_way_to_quit(void);

/** cvd_background_wants_console: Returns: whether cvd_background_give_console() is to be called */
gboolean cvd_background_wants_console(void);

/** cvd_background_give_console: @take_fd: a stream socket for who is in the foreground */
void cvd_background_give_console(int take_fd);

/**
 * cvd_background_watch:
 * @dir: where the log goes when it is left alone
 * @stop: is told what the foreground asks for: %CVD_EVENT_STOP_REQUESTED or %CVD_EVENT_HANGUP
 *
 * A process in the foreground that is gone without having left is a terminal that was closed. Does
 * nothing in a process that is in the foreground itself.
 */
void cvd_background_watch(CvdInstanceDir *dir, void (*stop)(CvdEvent event, gpointer user_data),
                          gpointer user_data);

/** cvd_background_unwatch: before @dir is released */
void cvd_background_unwatch(void);

G_END_DECLS
