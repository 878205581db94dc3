/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of cvd-vm. */
#include "guests/fake/options.h"

#include "base/error.h"

#include <string.h>

#define MAX_ARGS 6

static gboolean parse(const char *const *args, CvdVmOptions *options, GError **error)
{
    const char *argv[MAX_ARGS + 2] = {"cvd-vm"};

    for (guint i = 0; args[i] != NULL; i++) {
        g_assert_cmpuint(i, <, MAX_ARGS);
        argv[i + 1] = args[i];
    }
    return cvd_vm_options_parse(argv, options, error);
}

static void test_defaults(void)
{
    g_auto(CvdVmOptions) options = {0};

    g_assert_true(parse((const char *[]){NULL}, &options, NULL));
    g_assert_null(options.socket);
    g_assert_null(options.name);
    g_assert_false(options.is_mute || options.scribbles || options.dies);
    g_assert_cmpuint(options.slow_ms, ==, 0);
}

static void test_values(void)
{
    g_auto(CvdVmOptions) options = {0};

    g_assert_true(parse((const char *[]){"--socket=x", "--slow=60000", "--die-after=4294967295",
                                         "--scribble", "--seed=18446744073709551615", NULL},
                        &options, NULL));
    g_assert_cmpstr(options.socket, ==, "x");
    g_assert_cmpuint(options.slow_ms, ==, CVD_VM_MAX_SLOW_MS);
    g_assert_true(options.dies);
    g_assert_cmpuint(options.die_after, ==, G_MAXUINT32);
    g_assert_true(options.scribbles);
    g_assert_cmpuint(options.seed, ==, G_MAXUINT64);
}

static void test_slow_without_a_number(void)
{
    g_auto(CvdVmOptions) last = {0};
    g_auto(CvdVmOptions) before_another = {0};

    g_assert_true(parse((const char *[]){"--slow", NULL}, &last, NULL));
    g_assert_cmpuint(last.slow_ms, ==, CVD_VM_DEFAULT_SLOW_MS);
    g_assert_true(parse((const char *[]){"--slow", "--mute", NULL}, &before_another, NULL));
    g_assert_cmpuint(before_another.slow_ms, ==, CVD_VM_DEFAULT_SLOW_MS);
    g_assert_true(before_another.is_mute);
}

/* 0 is a number of wake-ups, not "never". */
static void test_die_at_once(void)
{
    g_auto(CvdVmOptions) options = {0};

    g_assert_true(parse((const char *[]){"--mute", "--die-after", "0", NULL}, &options, NULL));
    g_assert_true(options.dies);
    g_assert_cmpuint(options.die_after, ==, 0);
}

static void test_refused(void)
{
    static const struct {
        const char *args[MAX_ARGS];
        const char *text;
    } rows[] = {
        {{"--slow", "0"}, "--slow 0: expected a number from 1 to 60000"},
        {{"--slow", "60001"}, "from 1 to 60000"},
        {{"--slow", "1.5"}, "--slow 1.5"},
        {{"--slow", ""}, "--slow : expected"},
        {{"--die-after", "-1"}, "from 0 to 4294967295"},
        {{"--die-after", "4294967296"}, "from 0 to 4294967295"},
        {{"--scribble", "--seed", "x"}, "--seed x"},
        {{"--scribble", "--seed", "18446744073709551616"}, "--seed 1844"},
        {{"--seed", "1"}, "--seed is for --scribble"},
        {{"--mute", "--die-after", "1"}, "--mute serves nothing"},
        {{"--socket", "a", "--name", "b"}, "exclude each other"},
        {{"--socket", ""}, "--socket needs a path"},
        {{"a"}, "unexpected argument 'a'"},
        {{"--name", "../.."}, "is no instance's name; see cvd-vm --help"},
        {{"--plain"}, "see cvd-vm --help"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_auto(CvdVmOptions) options = {0};
        g_autoptr(GError) error = NULL;

        g_assert_false(parse(rows[i].args, &options, &error));
        g_assert_nonnull(error);
        if (strstr(error->message, rows[i].text) == NULL)
            g_error("'%s' does not have '%s'", error->message, rows[i].text);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vm-options/defaults", test_defaults);
    g_test_add_func("/vm-options/values", test_values);
    g_test_add_func("/vm-options/slow-without-a-number", test_slow_without_a_number);
    g_test_add_func("/vm-options/die-at-once", test_die_at_once);
    g_test_add_func("/vm-options/refused", test_refused);
    return g_test_run();
}
