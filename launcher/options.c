/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GOption, and after it what it does not know: which options exclude each other. Strings are taken
 * as file names are, byte for byte, since the locale has no say in a configuration.
 */
#include "launcher/options.h"

#include "base/complete.h"
#include "base/error.h"
#include "base/snapshot-place.h"
#include "base/snapshot-store.h"
#include "base/usage.h"
#include "launcher/config/keys.h"

#include <string.h>

static const char *const formats[] = {"text", "json", "c"}; /* CvdLayoutFormat */

static gboolean read_format(CvdOptions *options, const char *value, GError **error)
{
    for (guint i = 0; i < G_N_ELEMENTS(formats); i++) {
        if (strcmp(value ? value : "text", formats[i]) == 0) {
            options->layout_format = (CvdLayoutFormat)i;
            return TRUE;
        }
    }
    return cvd_fail(error, CVD_ERROR_INVALID, "--print-layout=%s: expected text, json or c", value);
}

/* At most one of the modes. */
static gboolean on_mode(const char *option, const char *value, gpointer data, GError **error)
{
    static const struct {
        const char *option;
        CvdMode mode;
    } modes[] = {
        {"--serve-only", CVD_MODE_SERVE_ONLY},
        {"--check", CVD_MODE_CHECK},
        {"--doctor", CVD_MODE_DOCTOR},
        {"--print-config", CVD_MODE_PRINT_CONFIG},
        {"--print-command", CVD_MODE_PRINT_COMMAND},
        {"--print-layout", CVD_MODE_PRINT_LAYOUT},
    };
    CvdOptions *options = data;

    if (options->mode_option && strcmp(options->mode_option, option) != 0)
        return cvd_fail(error, CVD_ERROR_INVALID, "%s and %s exclude each other; give one",
                        options->mode_option, option);
    for (guint i = 0; i < G_N_ELEMENTS(modes); i++) {
        if (strcmp(option, modes[i].option) == 0) {
            options->mode_option = modes[i].option;
            options->mode = modes[i].mode;
        }
    }
    return options->mode != CVD_MODE_PRINT_LAYOUT || read_format(options, value, error);
}

static gboolean on_timeout(const char *option, const char *value, gpointer data, GError **error)
{
    CvdOptions *options = data;
    guint64 seconds = 0;

    if (!g_ascii_string_to_unsigned(value, 10, 1, CVD_MAX_TIMEOUT_S, &seconds, NULL))
        return cvd_fail(error, CVD_ERROR_INVALID,
                        "--timeout %s: expected a number of seconds from 1 to %d", value,
                        CVD_MAX_TIMEOUT_S);
    options->timeout_s = (guint)seconds;
    return TRUE;
}

static gboolean check(const CvdOptions *options, char **rest, GError **error)
{
    if (options->version)
        return TRUE;
    if (rest[0] && rest[1])
        return cvd_fail(
            error, CVD_ERROR_INVALID,
            "unexpected argument '%s'; a configuration is named with --config FILE, and "
            "arguments for QEMU belong into extra_args of qemu.json",
            rest[1]);
    if (options->config && !*options->config)
        return cvd_fail(error, CVD_ERROR_INVALID, "--config needs the name of a file");
    if (options->from && !*options->from)
        return cvd_fail(error, CVD_ERROR_INVALID, "--from needs the name or path of a snapshot");
    if (options->from && options->mode == CVD_MODE_SERVE_ONLY)
        return cvd_fail(error, CVD_ERROR_INVALID,
                        "--from is for a VM that is started, but --serve-only starts none");
    if (options->paused && options->mode != CVD_MODE_LAUNCH)
        return cvd_fail(error, CVD_ERROR_INVALID,
                        "--paused is for a VM that is started, but %s starts none",
                        options->mode_option);
    if (options->console && options->mode != CVD_MODE_LAUNCH)
        return cvd_fail(error, CVD_ERROR_INVALID,
                        "--console is for a VM that is started, but %s starts none",
                        options->mode_option);
    if (options->console && options->detach)
        return cvd_fail(error, CVD_ERROR_INVALID,
                        "--console and --detach exclude each other; give one");
    if (options->detach && options->mode > CVD_MODE_SERVE_ONLY)
        return cvd_fail(error, CVD_ERROR_INVALID,
                        "--detach is for a VM or server that runs, but %s runs none",
                        options->mode_option);
    if (options->json && options->mode != CVD_MODE_DOCTOR)
        return cvd_fail(error, CVD_ERROR_INVALID, "--json is for --doctor");
    if (options->trace && !*options->trace)
        return cvd_fail(error, CVD_ERROR_INVALID, "--trace needs the name of a file");
    if (options->trace && options->mode > CVD_MODE_SERVE_ONLY)
        return cvd_fail(error, CVD_ERROR_INVALID,
                        "--trace is for a VM or server that runs, but %s runs none",
                        options->mode_option);
    if (options->timeout_s > 0 && options->mode > CVD_MODE_SERVE_ONLY)
        return cvd_fail(error, CVD_ERROR_INVALID,
                        "--timeout is for a VM or server that runs, but %s runs none",
                        options->mode_option);
    return TRUE;
}

#define N_OPTIONS 20

static void fill_options(CvdOptions *options, GOptionEntry entries[N_OPTIONS])
{
    const gpointer mode = (gpointer)(guintptr)on_mode;
    const GOptionEntry table[] = {
        {"config", 'c', 0, G_OPTION_ARG_FILENAME, &options->config,
         "Configuration, or - for standard input", "FILE"},
        {"name", 'n', 0, G_OPTION_ARG_FILENAME, &options->name,
         "Name of the instance, and of its NAME.json", "NAME"},
        {"index", 0, 0, G_OPTION_ARG_FILENAME, &options->index,
         "Which machine of a group (\"instances\")", "N"},
        {"from", 0, 0, G_OPTION_ARG_FILENAME, &options->from,
         "Start from a snapshot, by its name or path", "SNAPSHOT"},
        {"set", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->overrides,
         "Override one value; may be repeated", "PATH=VALUE"},
        {"serve-only", 0, G_OPTION_FLAG_NO_ARG, G_OPTION_ARG_CALLBACK, mode,
         "Serve another QEMU, whose arguments are printed", NULL},
        {"paused", 0, 0, G_OPTION_ARG_NONE, &options->paused,
         "Leave the guest stopped, for a debugger", NULL},
        {"console", 0, 0, G_OPTION_ARG_NONE, &options->console,
         "Show the console here, or go on in the background", NULL},
        {"detach", 0, 0, G_OPTION_ARG_NONE, &options->detach, NULL, NULL},
        {"check", 0, G_OPTION_FLAG_NO_ARG, G_OPTION_ARG_CALLBACK, mode,
         "Report every problem of the configuration", NULL},
        {"doctor", 0, G_OPTION_FLAG_NO_ARG, G_OPTION_ARG_CALLBACK, mode,
         "Look for what the machine lacks (--json: as JSON)", NULL},
        {"json", 0, 0, G_OPTION_ARG_NONE, &options->json, NULL, NULL},
        {"print-config", 0, G_OPTION_FLAG_NO_ARG, G_OPTION_ARG_CALLBACK, mode,
         "Print all values, and where each comes from", NULL},
        {"print-command", 0, G_OPTION_FLAG_NO_ARG, G_OPTION_ARG_CALLBACK, mode,
         "Print QEMU's command line and touch nothing", NULL},
        {"print-layout", 0, G_OPTION_FLAG_OPTIONAL_ARG, G_OPTION_ARG_CALLBACK, mode,
         "Print the layout as text (default), json or c", "FORMAT"},
        {"timeout", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK,
         (gpointer)(guintptr)on_timeout, "Tear down after so long, with exit status 1", "SECONDS"},
        {"trace", 0, 0, G_OPTION_ARG_FILENAME, &options->trace,
         "Record each ring of a doorbell, for cvd-client", "FILE"},
        {"verbose", 'v', 0, G_OPTION_ARG_NONE, &options->verbose, "Log more, with times", NULL},
        {"version", 0, 0, G_OPTION_ARG_NONE, &options->version, "Print the version", NULL},
        G_OPTION_ENTRY_NULL,
    };

    G_STATIC_ASSERT(sizeof table == N_OPTIONS * sizeof entries[0]);
    memcpy(entries, table, sizeof table);
}

gboolean cvd_options_parse(const char *const *argv, CvdOptions *options, GError **error)
{
    g_auto(GStrv) rest = g_strdupv((char **)argv);
    g_autoptr(GError) reason = NULL;
    GOptionEntry entries[N_OPTIONS];
    const CvdUsage usage = {
        .command = "cvd-launch",
        .summary =
            "Starts a QEMU whose guest shares memory with host programs; ctrl-c ends it all.",
        .options = entries,
        .epilogue =
            "\nExit status: 0 stopped or powered off, 1 failed, 2 usage or configuration\n"
            "Such as: cvd-launch -n vm --set qemu.memory=4G. See cvd-launch(1), cvd.json(5)\n",
        .data = options,
    };

    *options = (CvdOptions){.start_time_us = g_get_monotonic_time()};
    fill_options(options, entries);
    if (!cvd_usage_parse(&usage, &rest, &reason))
        return cvd_fail(error, CVD_ERROR_INVALID, "%s; see cvd-launch --help", reason->message);
    return check(options, rest, error);
}

/* With the first sentence of what it means. */
static void add_key(const CvdKey *key, const char *path, GPtrArray *words)
{
    const char *end = strstr(key->summary, ". ");
    g_autofree char *sentence = end ? g_strndup(key->summary, (gsize)(end - key->summary)) : NULL;

    cvd_complete_add(words, path, sentence ? sentence : key->summary);
}

static void add_keys(const CvdKey *keys, const char *prefix, GPtrArray *words)
{
    for (; keys->name; keys++) {
        g_autofree char *path = g_strconcat(prefix, keys->name, keys->members ? "." : "=", NULL);
        if (keys->members)
            add_keys(keys->members, path, words);
        else
            add_key(keys, path, words);
    }
}

void cvd_options_add_keys(GPtrArray *words)
{
    add_keys(cvd_keys, "", words);
}

void cvd_options_add_snapshots(GPtrArray *words)
{
    g_autofree char *place = cvd_snapshot_get_place(NULL);
    g_autoptr(GPtrArray) names = place ? cvd_snapshot_list(place, NULL) : NULL;

    for (guint i = 0; names && i < names->len; i++)
        cvd_complete_add(words, g_ptr_array_index(names, i), NULL);
    cvd_complete_add(words, "", "files");
}

static void add_values(gpointer data, const char *kind, GPtrArray *words)
{
    if (strcmp(kind, "PATH=VALUE") == 0)
        cvd_options_add_keys(words);
    if (strcmp(kind, "SNAPSHOT") == 0)
        cvd_options_add_snapshots(words);
    for (guint i = 0; strcmp(kind, "FORMAT") == 0 && i < G_N_ELEMENTS(formats); i++)
        cvd_complete_add(words, formats[i], NULL);
}

int cvd_options_complete(char **words)
{
    g_auto(CvdOptions) options = {0};
    GOptionEntry entries[N_OPTIONS];

    fill_options(&options, entries);
    return cvd_complete(&(const CvdCompletion){.options = entries, .add = add_values}, words);
}

void cvd_options_clear(CvdOptions *options)
{
    g_clear_pointer(&options->config, g_free);
    g_clear_pointer(&options->name, g_free);
    g_clear_pointer(&options->from, g_free);
    g_clear_pointer(&options->index, g_free);
    g_clear_pointer(&options->trace, g_free);
    g_clear_pointer(&options->overrides, g_strfreev);
}
