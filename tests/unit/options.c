/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: what each option means, and which command lines mean nothing. */
#include "launcher/options.h"

#include "base/error.h"

#include <string.h>

#define MAX_ARGS 12

static gboolean parse(const char *const *args, CvdOptions *options, GError **error)
{
    const char *argv[MAX_ARGS + 2] = {"cvd-launch"};
    for (guint i = 0; args[i]; i++) {
        g_assert_cmpuint(i, <, MAX_ARGS);
        argv[i + 1] = args[i];
    }
    return cvd_options_parse(argv, options, error);
}

static void test_defaults(void)
{
    g_auto(CvdOptions) options = {0};
    g_autoptr(GError) error = NULL;
    g_assert_true(parse((const char *[]){NULL}, &options, &error));
    g_assert_no_error(error);
    g_assert_cmpint(options.mode, ==, CVD_MODE_LAUNCH);
    g_assert_null(options.config);
    g_assert_null(options.name);
    g_assert_null(options.from);
    g_assert_null(options.overrides);
    g_assert_false(options.paused);
    g_assert_false(options.console);
    g_assert_false(options.detach);
    g_assert_false(options.verbose);
    g_assert_cmpuint(options.timeout_s, ==, 0);
    g_assert_null(options.trace);
}

static void test_values(void)
{
    g_auto(CvdOptions) options = {0};
    g_autoptr(GError) error = NULL;
    g_assert_true(parse((const char *[]){"-c", "a.json", "--name=x", "--paused", "-v", "--timeout",
                                         "90", "--trace=t\xff", "--from=../s", "--index=7", NULL},
                        &options, &error));
    g_assert_no_error(error);
    g_assert_cmpstr(options.config, ==, "a.json");
    g_assert_cmpstr(options.name, ==, "x");
    g_assert_cmpstr(options.index, ==, "7");
    g_assert_true(options.paused);
    g_assert_true(options.verbose);
    g_assert_cmpuint(options.timeout_s, ==, 90);
    g_assert_cmpstr(options.trace, ==, "t\xff");
    g_assert_cmpstr(options.from, ==, "../s");
}

static void test_set_repeats_in_order(void)
{
    g_auto(CvdOptions) options = {0};
    g_autoptr(GError) error = NULL;
    g_assert_true(
        parse((const char *[]){"--set", "qemu.smp=2", "--set=name=\xff", NULL}, &options, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(g_strv_length(options.overrides), ==, 2);
    g_assert_cmpstr(options.overrides[0], ==, "qemu.smp=2");
    g_assert_cmpstr(options.overrides[1], ==, "name=\xff");
}

static void test_modes(void)
{
    static const struct {
        const char *args[3];
        CvdMode mode;
        CvdLayoutFormat format;
    } rows[] = {
        {{"--serve-only"}, CVD_MODE_SERVE_ONLY, CVD_LAYOUT_FORMAT_TEXT},
        {{"--serve-only", "--timeout=5"}, CVD_MODE_SERVE_ONLY, CVD_LAYOUT_FORMAT_TEXT},
        {{"--serve-only", "--detach"}, CVD_MODE_SERVE_ONLY, CVD_LAYOUT_FORMAT_TEXT},
        {{"--check"}, CVD_MODE_CHECK, CVD_LAYOUT_FORMAT_TEXT},
        {{"--from=x", "--check"}, CVD_MODE_CHECK, CVD_LAYOUT_FORMAT_TEXT},
        {{"--json", "--doctor"}, CVD_MODE_DOCTOR, CVD_LAYOUT_FORMAT_TEXT},
        {{"--print-command"}, CVD_MODE_PRINT_COMMAND, CVD_LAYOUT_FORMAT_TEXT},
        {{"--print-config"}, CVD_MODE_PRINT_CONFIG, CVD_LAYOUT_FORMAT_TEXT},
        {{"--print-layout"}, CVD_MODE_PRINT_LAYOUT, CVD_LAYOUT_FORMAT_TEXT},
        {{"--print-layout", "-v"}, CVD_MODE_PRINT_LAYOUT, CVD_LAYOUT_FORMAT_TEXT},
        {{"--print-layout=text"}, CVD_MODE_PRINT_LAYOUT, CVD_LAYOUT_FORMAT_TEXT},
        {{"--print-layout=json"}, CVD_MODE_PRINT_LAYOUT, CVD_LAYOUT_FORMAT_JSON},
        {{"--print-layout=c"}, CVD_MODE_PRINT_LAYOUT, CVD_LAYOUT_FORMAT_C},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_auto(CvdOptions) options = {0};
        g_autoptr(GError) error = NULL;
        g_assert_true(parse(rows[i].args, &options, &error));
        g_assert_no_error(error);
        g_assert_cmpint(options.mode, ==, rows[i].mode);
        g_assert_cmpint(options.layout_format, ==, rows[i].format);
    }
}

static void test_processes(void)
{
    g_auto(CvdOptions) one = {0}, other = {0};
    g_assert_true(parse((const char *[]){"--console", "--paused", NULL}, &one, NULL));
    g_assert_true(one.console && one.paused && !one.detach);
    g_assert_true(parse((const char *[]){"--detach", "--timeout=5", NULL}, &other, NULL));
    g_assert_true(other.detach && !other.console);
}

/* Whatever else is given. */
static void test_version(void)
{
    g_auto(CvdOptions) options = {0};
    g_assert_true(
        parse((const char *[]){"--version", "--check", "--paused", "x", NULL}, &options, NULL));
    g_assert_true(options.version);
}

static void test_usage_errors(void)
{
    static const struct {
        const char *args[4];
        const char *message;
    } rows[] = {
        {{"conf.json"}, "unexpected argument 'conf.json'; a configuration is named with --config"},
        {{"--", "-x"}, "unexpected argument '-"},
        {{"--frobnicate"}, "--frobnicate; see cvd-launch --help"},
        {{"--config"}, "see cvd-launch --help"},
        {{"--json"}, "--json is for --doctor"},
        {{"--json", "--check"}, "--json is for --doctor"},
        {{"--config="}, "--config needs the name of a file"},
        {{"--from"}, "see cvd-launch --help"},
        {{"--from="}, "--from needs the name or path of a snapshot"},
        {{"--from=x", "--serve-only"}, "--from is for a VM that is started, but --serve-only"},
        {{"--timeout", "0"}, "--timeout 0: expected a number of seconds from 1"},
        {{"--timeout=-5"}, "--timeout -5: expected"},
        {{"--timeout=1.5"}, "--timeout 1.5: expected"},
        {{"--timeout=soon"}, "--timeout soon: expected"},
        {{"--timeout="}, "--timeout : expected"},
        {{"--timeout=31536001"}, "to 31536000"},
        {{"--timeout=99999999999999999999"}, "to 31536000"},
        {{"--print-layout=yaml"}, "--print-layout=yaml: expected text, json or c"},
        {{"--check", "--print-command"}, "--check and --print-command exclude each other"},
        {{"--print-config", "--check"}, "--print-config and --check exclude"},
        {{"--serve-only", "--print-layout"}, "--serve-only and --print-layout exclude"},
        {{"--serve-only", "--check"}, "--serve-only and --check exclude"},
        {{"--serve-only", "--paused"}, "but --serve-only starts none"},
        {{"--check", "--paused"}, "but --check starts none"},
        {{"--serve-only", "--console"}, "but --serve-only starts none"},
        {{"--doctor", "--console"}, "but --doctor starts none"},
        {{"--console", "--detach"}, "--console and --detach exclude each other"},
        {{"--check", "--detach"}, "but --check runs none"},
        {{"--print-layout", "--detach"}, "but --print-layout runs none"},
        {{"--print-command", "--timeout=1"}, "but --print-command runs none"},
        {{"--trace"}, "see cvd-launch --help"},
        {{"--trace="}, "--trace needs the name of a file"},
        {{"--check", "--trace=x"}, "but --check runs none"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_auto(CvdOptions) options = {0};
        g_autoptr(GError) error = NULL;
        g_assert_false(parse(rows[i].args, &options, &error));
        g_assert_nonnull(error);
        if (!strstr(error->message, rows[i].message))
            g_error("\"%s\" does not contain \"%s\"", error->message, rows[i].message);
    }
}

static void test_longest_timeout(void)
{
    g_auto(CvdOptions) options = {0};
    g_assert_true(parse((const char *[]){"--timeout=31536000", NULL}, &options, NULL));
    g_assert_cmpuint(options.timeout_s, ==, 31536000);
}

static void test_help(void)
{
    if (g_test_subprocess()) {
        g_auto(CvdOptions) options = {0};
        parse((const char *[]){"--help", NULL}, &options, NULL);
        g_assert_not_reached();
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
    static const char *const words[] = {
        "--config",        "--name",         "--set",           "--serve-only",   "--paused",
        "--check",         "--print-config", "--print-command", "--print-layout", "--timeout",
        "--verbose",       "--version",      "--trace",         "--config",       "--name",
        "--set",           "--serve-only",   "--paused",        "--check",        "--print-config",
        "--print-command", "--console",      "--detach",        "--print-layout", "--timeout",
        "--verbose",       "--version",      "--json",          "--from",
    };
    for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
        g_autofree char *pattern = g_strdup_printf("*%s*", words[i]);
        g_test_trap_assert_stdout(pattern);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/options/defaults", test_defaults);
    g_test_add_func("/options/values", test_values);
    g_test_add_func("/options/set-repeats-in-order", test_set_repeats_in_order);
    g_test_add_func("/options/modes", test_modes);
    g_test_add_func("/options/processes", test_processes);
    g_test_add_func("/options/version", test_version);
    g_test_add_func("/options/usage-errors", test_usage_errors);
    g_test_add_func("/options/longest-timeout", test_longest_timeout);
    g_test_add_func("/options/help", test_help);
    return g_test_run();
}
