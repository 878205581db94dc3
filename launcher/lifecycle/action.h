/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/**
 * CvdAction:
 *
 * What the machines ask for, to be carried out in the order of the values.
 */
typedef enum {
    CVD_ACTION_CLEAR_SIGNALS = 1 << 0, /* zero the signal tables and words */
    CVD_ACTION_HOLD_CLIENTS = 1 << 1,  /* close the clients' connections, let nobody in */
    CVD_ACTION_REPORT_END = 1 << 2,    /* say how the VM ended, and when another follows */
    CVD_ACTION_RENEW = 1 << 3,         /* close the clients' connections, renew the window */
    CVD_ACTION_ADMIT_CLIENTS = 1 << 4, /* let clients in again */
    CVD_ACTION_HAND_OVER = 1 << 5,     /* report CVD_EVENT_HANDED_OVER when QEMU has read all */
    CVD_ACTION_SEND = 1 << 6,          /* send @guest.command, report its reply */
    CVD_ACTION_WAKE = 1 << 7,          /* send `system_wakeup` */
    CVD_ACTION_POWERDOWN = 1 << 8,     /* send `system_powerdown` */
    CVD_ACTION_QUIT = 1 << 9,          /* send `quit` */
    CVD_ACTION_TERMINATE = 1 << 10,    /* SIGHUP to QEMU */
    CVD_ACTION_KILL = 1 << 11,         /* SIGKILL to QEMU's process group */
    CVD_ACTION_READY = 1 << 12,        /* the start is complete: notify user and systemd */
    CVD_ACTION_START = 1 << 13,        /* start another QEMU, unless the renewal failed */
    CVD_ACTION_END = 1 << 14,          /* tear everything else down */
    CVD_N_ACTIONS = 15,
} CvdAction;
