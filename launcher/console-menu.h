/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** CvdMenuChoice: what a key at the prompt of `--console` asks for */
typedef enum {
    CVD_MENU_BACK,        /* to the console */
    CVD_MENU_DETACH,      /* leave the machine running */
    CVD_MENU_POWER_OFF,   /* a stop, as of ctrl-c without --console */
    CVD_MENU_QUIT,        /* end QEMU at once */
    CVD_MENU_SEND_ESCAPE, /* the guest is to get ctrl-] */
    CVD_MENU_HELP,        /* also for a key that means nothing */
} CvdMenuChoice;

/** cvd_menu_choose: Pure. Returns: what @key means at the prompt */
CvdMenuChoice cvd_menu_choose(char key);

/** cvd_menu_get_prompt: Returns: (transfer none): what is asked, without a line feed */
const char *cvd_menu_get_prompt(void);

/** cvd_menu_get_help: Returns: (transfer none): what each key does, lines */
const char *cvd_menu_get_help(void);

G_END_DECLS
