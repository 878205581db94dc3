/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/console-menu.h"

#include "base/console-view.h"

#include <string.h>

static const struct {
    const char *keys;
    CvdMenuChoice choice;
} rows[] = {
    {"dD", CVD_MENU_DETACH},
    {"pP", CVD_MENU_POWER_OFF},
    {"qQ", CVD_MENU_QUIT},
    {"\x1d", CVD_MENU_SEND_ESCAPE},
    {"hH?", CVD_MENU_HELP},
    {"\r\n \x1b\x03\x04", CVD_MENU_BACK}, /* enter, space, escape, ctrl-c, ctrl-d */
};

CvdMenuChoice cvd_menu_choose(char key)
{
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        if (key != '\0' && strchr(rows[i].keys, key) != NULL)
            return rows[i].choice;
    return CVD_MENU_HELP;
}

const char *cvd_menu_get_prompt(void)
{
    return "d detach, p power off, q quit, h help, enter back to the console: ";
}

const char *cvd_menu_get_help(void)
{
    return "d       detach: leave the machine running; 'cvd-ctl attach' comes back\n"
           "p       power off: ask the guest to, as 'cvd-ctl stop' does\n"
           "q       quit: end QEMU at once\n"
           "ctrl-]  send ctrl-] to the guest\n"
           "enter   back to the console\n";
}
