/* SPDX-License-Identifier: Apache-2.0 */
/* What each key at the prompt of --console means. */
#include "launcher/console-menu.h"

#include <string.h>

static void test_keys(void)
{
    static const struct {
        const char *keys;
        CvdMenuChoice choice;
    } rows[] = {
        {"dD", CVD_MENU_DETACH},
        {"pP", CVD_MENU_POWER_OFF},
        {"qQ", CVD_MENU_QUIT},
        {"\x1d", CVD_MENU_SEND_ESCAPE},
        {"hH?xX1\t\x01\x7f\xff", CVD_MENU_HELP},
        {"\r\n \x1b\x03\x04", CVD_MENU_BACK},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        for (const char *key = rows[i].keys; *key != '\0'; key++)
            g_assert_cmpint(cvd_menu_choose(*key), ==, rows[i].choice);
    g_assert_cmpint(cvd_menu_choose('\0'), ==, CVD_MENU_HELP);
}

/* Each key that the prompt names does what the word behind it says. */
static void test_prompt(void)
{
    static const char *const words[] = {"d detach", "p power off", "q quit", "h help"};

    for (gsize i = 0; i < G_N_ELEMENTS(words); i++)
        g_assert_nonnull(strstr(cvd_menu_get_prompt(), words[i]));
    g_assert_null(strchr(cvd_menu_get_prompt(), '\n'));
    g_assert_cmpuint(strlen("cvd-1: ") + strlen(cvd_menu_get_prompt()), <, 80);
    g_assert_true(g_str_has_suffix(cvd_menu_get_help(), "\n"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/console-menu/keys", test_keys);
    g_test_add_func("/console-menu/prompt", test_prompt);
    return g_test_run();
}
