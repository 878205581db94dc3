/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/group/options.h"

#include "base/complete.h"
#include "base/error.h"
#include "base/usage.h"
#include "launcher/options.h"

#include <string.h>
#include <sys/stat.h>

static gboolean on_jobs(const char *option, const char *value, gpointer data, GError **error)
{
    CvdUpOptions *options = data;
    guint64 n = 0;

    if (!g_ascii_string_to_unsigned(value, 10, 1, CVD_UP_MAX_JOBS, &n, NULL))
        return cvd_fail(error, CVD_ERROR_INVALID, "--jobs %s: expected a number from 1 to %d",
                        value, CVD_UP_MAX_JOBS);
    options->n_jobs = (guint)n;
    return TRUE;
}

/* What can be read once is gone before the first machine is started. */
static gboolean check_config(const char *config, GError **error)
{
    struct stat st;

    if (config == NULL)
        return cvd_fail(error, CVD_ERROR_INVALID, "name the configuration of the group: a file");
    if (strcmp(config, "-") == 0 || (stat(config, &st) == 0 && !S_ISREG(st.st_mode)))
        return cvd_fail(error, CVD_ERROR_INVALID,
                        "%s: is no file that each machine could read; name one", config);
    return TRUE;
}

static gboolean take_arguments(CvdUpOptions *options, char **rest, GError **error)
{
    if (options->version)
        return TRUE;
    options->config = rest[0] != NULL ? g_strdup(rest[1]) : NULL;
    if (options->config != NULL && rest[2] != NULL)
        return cvd_fail(error, CVD_ERROR_INVALID,
                        "unexpected argument '%s'; one configuration is started at a time",
                        rest[2]);
    if (options->from != NULL && *options->from == '\0')
        return cvd_fail(error, CVD_ERROR_INVALID, "--from needs the name or path of a snapshot");
    return check_config(options->config, error);
}

#define N_OPTIONS 6

static void fill_options(CvdUpOptions *options, GOptionEntry entries[N_OPTIONS])
{
    const GOptionEntry table[] = {
        {"jobs", 'j', G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, (gpointer)(guintptr)on_jobs,
         "How many start at once; default: one a processor", "N"},
        {"index", 0, 0, G_OPTION_ARG_FILENAME, &options->indices,
         "Start these alone, such as 1,4..8", "LIST"},
        {"from", 0, 0, G_OPTION_ARG_FILENAME, &options->from,
         "Start each from a snapshot, by its name or path", "SNAPSHOT"},
        {"set", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &options->overrides,
         "Override one value; may be repeated", "PATH=VALUE"},
        {"version", 0, 0, G_OPTION_ARG_NONE, &options->version, "Print the version", NULL},
        G_OPTION_ENTRY_NULL,
    };

    G_STATIC_ASSERT(sizeof table == N_OPTIONS * sizeof entries[0]);
    memcpy(entries, table, sizeof table);
}

gboolean cvd_up_options_parse(const char *const *argv, CvdUpOptions *options, GError **error)
{
    g_auto(GStrv) rest = g_strdupv((char **)argv);
    GOptionEntry entries[N_OPTIONS];
    const CvdUsage usage = {
        .command = "cvd-up",
        .parameters = "FILE",
        .summary =
            "Starts the machines that FILE describes, each by cvd-launch --detach, and waits\n"
            "until they are ready. Those that are up already are left alone.",
        .options = entries,
        .epilogue = "\n"
                    "Ctrl-c takes those down that this run has started. Once up, they are looked\n"
                    "after by cvd-ctl --group.\n"
                    "Exit status: 0 all are up, 1 some are not, 2 usage or configuration\n"
                    "See cvd-up(1), cvd.json(5).\n",
        .data = options,
    };

    *options = (CvdUpOptions){.n_jobs = g_get_num_processors()};
    fill_options(options, entries);
    if (cvd_usage_parse(&usage, &rest, error) && take_arguments(options, rest, error))
        return TRUE;
    cvd_error_add_help(error, "cvd-up");
    return FALSE;
}

static void add_values(gpointer data, const char *kind, GPtrArray *words)
{
    if (strcmp(kind, "PATH=VALUE") == 0)
        cvd_options_add_keys(words);
    if (strcmp(kind, "SNAPSHOT") == 0)
        cvd_options_add_snapshots(words);
}

int cvd_up_options_complete(char **words)
{
    g_auto(CvdUpOptions) options = {0};
    GOptionEntry entries[N_OPTIONS];

    fill_options(&options, entries);
    return cvd_complete(
        &(const CvdCompletion){.options = entries, .argument = "FILE", .add = add_values}, words);
}

void cvd_up_options_clear(CvdUpOptions *options)
{
    g_clear_pointer(&options->config, g_free);
    g_clear_pointer(&options->overrides, g_strfreev);
    g_clear_pointer(&options->indices, g_free);
    g_clear_pointer(&options->from, g_free);
}
