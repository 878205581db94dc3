/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GOption, and after it what it does not know: which options exclude each other. Strings are taken
 * as file names are, byte for byte, since the locale has no say in a configuration.
 */
#include "launcher/options.h"

#include "base/error.h"

#include <string.h>

/* As they stand on the command line; some are modes that exclude each other. */
typedef struct {
    CvdOptions options;
    gboolean serve_only;
    gboolean check;
    gboolean doctor;
    gboolean print_command;
    gboolean print_layout;
    gboolean version;
    char *timeout;
} Given;

static gboolean on_print_layout(const char *option, const char *value, gpointer data,
                                GError **error)
{
    static const char *const formats[] = {"text", "json", "c"}; /* CvdLayoutFormat */

    Given *given = data;
    given->print_layout = TRUE;
    for (guint i = 0; i < G_N_ELEMENTS(formats); i++) {
        if (strcmp(value ? value : "text", formats[i]) == 0) {
            given->options.layout_format = (CvdLayoutFormat)i;
            return TRUE;
        }
    }
    return cvd_fail(error, CVD_ERROR_INVALID, "--print-layout=%s: expected text, json or c", value);
}

static gboolean read_timeout(Given *given, GError **error)
{
    guint64 seconds = 0;
    if (!given->timeout)
        return TRUE;
    if (!g_ascii_string_to_unsigned(given->timeout, 10, 1, CVD_MAX_TIMEOUT_S, &seconds, NULL))
        return cvd_fail(error, CVD_ERROR_INVALID,
                        "--timeout %s: expected a number of seconds from 1 to %d", given->timeout,
                        CVD_MAX_TIMEOUT_S);
    given->options.timeout_s = (guint)seconds;
    return TRUE;
}

/* At most one of the modes. */
static gboolean read_mode(Given *given, GError **error)
{
    const struct {
        gboolean given;
        const char *name;
        CvdMode mode;
    } modes[] = {
        {given->serve_only, "--serve-only", CVD_MODE_SERVE_ONLY},
        {given->check, "--check", CVD_MODE_CHECK},
        {given->doctor, "--doctor", CVD_MODE_DOCTOR},
        {given->print_command, "--print-command", CVD_MODE_PRINT_COMMAND},
        {given->print_layout, "--print-layout", CVD_MODE_PRINT_LAYOUT},
    };
    const char *first = NULL;
    for (guint i = 0; i < G_N_ELEMENTS(modes); i++) {
        if (!modes[i].given)
            continue;
        if (first)
            return cvd_fail(error, CVD_ERROR_INVALID, "%s and %s exclude each other; give one",
                            first, modes[i].name);
        first = modes[i].name;
        given->options.mode = modes[i].mode;
    }
    if (given->options.paused && first)
        return cvd_fail(error, CVD_ERROR_INVALID,
                        "--paused is for a VM that is started, but %s starts none", first);
    if (given->options.timeout_s > 0 && first && !given->serve_only)
        return cvd_fail(error, CVD_ERROR_INVALID,
                        "--timeout is for a VM or server that runs, but %s runs none", first);
    return TRUE;
}

static gboolean check_given(Given *given, char **rest, GError **error)
{
    if (given->version) {
        given->options.mode = CVD_MODE_VERSION;
        return TRUE;
    }
    if (rest[0] && rest[1])
        return cvd_fail(
            error, CVD_ERROR_INVALID,
            "unexpected argument '%s'; a configuration is named with --config FILE, and "
            "arguments for QEMU belong into extra_args of qemu.json",
            rest[1]);
    if (given->options.config && !*given->options.config)
        return cvd_fail(error, CVD_ERROR_INVALID, "--config needs the name of a file");
    return read_timeout(given, error) && read_mode(given, error);
}

static GOptionContext *context_new(Given *given)
{
    CvdOptions *options = &given->options;
    const GOptionEntry entries[] = {
        {"config", 'c', 0, G_OPTION_ARG_FILENAME, &options->config,
         "Configuration, or - for stdin; conf/cvd.json if it exists, else the system's "
         "cvd/cvd.json",
         "FILE"},
        {"name", 'n', 0, G_OPTION_ARG_FILENAME, &options->name,
         "Name of the instance, over the configuration's", "NAME"},
        {"set", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->overrides,
         "Override one value of the configuration, e.g. qemu.memory=4G; repeatable", "PATH=VALUE"},
        {"serve-only", 0, 0, G_OPTION_ARG_NONE, &given->serve_only,
         "Everything but QEMU: print the arguments with which another QEMU attaches, and serve it",
         NULL},
        {"paused", 0, 0, G_OPTION_ARG_NONE, &options->paused,
         "Start the VM, but leave the guest stopped, for a debugger", NULL},
        {"check", 0, 0, G_OPTION_ARG_NONE, &given->check,
         "Report every problem of the configuration and touch nothing", NULL},
        {"doctor", 0, 0, G_OPTION_ARG_NONE, &given->doctor,
         "Look at the machine: what is missing for a launch, and what to do about it", NULL},
        {"print-command", 0, 0, G_OPTION_ARG_NONE, &given->print_command,
         "Print QEMU's command line and touch nothing", NULL},
        {"print-layout", 0, G_OPTION_FLAG_OPTIONAL_ARG, G_OPTION_ARG_CALLBACK,
         (gpointer)(guintptr)on_print_layout,
         "Print the window's layout as text (default), json, or c (a header)", "FORMAT"},
        {"timeout", 0, 0, G_OPTION_ARG_FILENAME, &given->timeout,
         "Tear down after so long, with exit status 1", "SECONDS"},
        {"verbose", 'v', 0, G_OPTION_ARG_NONE, &options->verbose, "Log more", NULL},
        {"version", 0, 0, G_OPTION_ARG_NONE, &given->version, "Print the version", NULL},
        G_OPTION_ENTRY_NULL,
    };
    GOptionContext *context = g_option_context_new(NULL);
    GOptionGroup *group = g_option_group_new("cvd-launch", "", "", given, NULL);
    g_option_group_add_entries(group, entries);
    g_option_context_set_main_group(context, group);
    g_option_context_set_summary(
        context, "Starts a QEMU whose guest and host programs share one window of memory with "
                 "doorbells,\nserves both sides, and takes all of it down on ctrl-c.");
    g_option_context_set_description(context,
                                     "Exit status:\n"
                                     "  0  the guest powered off, or a stop was asked for\n"
                                     "  1  the start failed, or the VM ended in failure\n"
                                     "  2  usage or configuration error\n"
                                     "\n"
                                     "Examples:\n"
                                     "  cvd-launch --config conf/cvd.json --set qemu.memory=4G\n"
                                     "  cvd-launch --print-layout=c > window.h\n"
                                     "\n"
                                     "See cvd-launch(1) for the configuration.\n");
    return context;
}

static void given_clear(Given *given)
{
    cvd_options_clear(&given->options);
    g_free(given->timeout);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Given, given_clear)

gboolean cvd_options_parse(const char *const *argv, CvdOptions *options, GError **error)
{
    g_auto(Given) given = {0};
    g_auto(GStrv) rest = g_strdupv((char **)argv);
    g_autoptr(GOptionContext) context = context_new(&given);

    if (!g_option_context_parse_strv(context, &rest, error) || !check_given(&given, rest, error)) {
        cvd_error_add_help(error, "cvd-launch");
        return FALSE;
    }
    *options = given.options;
    given.options = (CvdOptions){0};
    return TRUE;
}

void cvd_options_clear(CvdOptions *options)
{
    g_clear_pointer(&options->config, g_free);
    g_clear_pointer(&options->name, g_free);
    g_clear_pointer(&options->overrides, g_strfreev);
}
