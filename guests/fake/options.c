/* SPDX-License-Identifier: Apache-2.0 */
#include "guests/fake/options.h"

#include "base/complete.h"
#include "base/error.h"
#include "base/instance.h"
#include "base/usage.h"

#include <string.h>

/* Numbers as they stand on the command line: GOption would take signs and white space. */
typedef struct {
    CvdVmOptions options;
    char *die_after;
    char *slow;
    char *seed;
} Given;

static gboolean read_number(const char *option, const char *text, guint64 min, guint64 max,
                            guint64 *number, GError **error)
{
    if (text == NULL || g_ascii_string_to_unsigned(text, 10, min, max, number, NULL))
        return TRUE;
    return cvd_fail(error, CVD_ERROR_INVALID,
                    "--%s %s: expected a number from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT,
                    option, text, min, max);
}

static gboolean read_numbers(Given *given, GError **error)
{
    CvdVmOptions *options = &given->options;
    guint64 slow_ms = 0;

    if (!read_number("die-after", given->die_after, 0, G_MAXUINT32, &options->die_after, error) ||
        !read_number("slow", given->slow, 1, CVD_VM_MAX_SLOW_MS, &slow_ms, error) ||
        !read_number("seed", given->seed, 0, G_MAXUINT64, &options->seed, error))
        return FALSE;
    options->dies = given->die_after != NULL;
    options->slow_ms = (guint)slow_ms;
    if (given->seed == NULL)
        options->seed = g_random_int();
    return TRUE;
}

static gboolean check_given(const Given *given, char **rest, GError **error)
{
    const CvdVmOptions *options = &given->options;

    if (rest[0] != NULL && rest[1] != NULL)
        return cvd_fail(error, CVD_ERROR_INVALID,
                        "unexpected argument '%s'; the VM socket is named with --socket PATH",
                        rest[1]);
    if (options->socket != NULL && options->name != NULL)
        return cvd_fail(error, CVD_ERROR_INVALID,
                        "--socket and --name exclude each other; give one");
    if (options->socket != NULL && !*options->socket)
        return cvd_fail(error, CVD_ERROR_INVALID, "--socket needs a path");
    if (options->name != NULL && !cvd_instance_check_name(options->name, error))
        return FALSE;
    if (given->seed != NULL && !options->scribbles)
        return cvd_fail(error, CVD_ERROR_INVALID, "--seed is for --scribble");
    if (options->is_mute && options->dies && options->die_after > 0)
        return cvd_fail(error, CVD_ERROR_INVALID,
                        "--die-after %" G_GUINT64_FORMAT
                        " counts what is served, but --mute serves nothing",
                        options->die_after);
    return TRUE;
}

static gboolean on_slow(const char *option, const char *value, gpointer data, GError **error)
{
    Given *given = data;

    g_free(given->slow);
    given->slow = g_strdup(value != NULL ? value : G_STRINGIFY(CVD_VM_DEFAULT_SLOW_MS));
    return TRUE;
}

#define N_OPTIONS 10

static void fill_options(Given *given, GOptionEntry entries[N_OPTIONS])
{
    CvdVmOptions *options = &given->options;
    const GOptionEntry table[] = {
        {"socket", 's', 0, G_OPTION_ARG_FILENAME, &options->socket, "The VM socket", "PATH"},
        {"name", 'n', 0, G_OPTION_ARG_FILENAME, &options->name,
         "The instance; not needed when just one runs", "NAME"},
        {"mute", 0, 0, G_OPTION_ARG_NONE, &options->is_mute, "Attach, but serve nothing", NULL},
        {"scribble", 0, 0, G_OPTION_ARG_NONE, &options->scribbles,
         "Write random words all over, and ring at random", NULL},
        {"seed", 0, 0, G_OPTION_ARG_FILENAME, &given->seed,
         "Of the random words, to have the same ones again", "N"},
        {"slow", 0, G_OPTION_FLAG_OPTIONAL_ARG, G_OPTION_ARG_CALLBACK, (gpointer)(guintptr)on_slow,
         "Answer, and take what is sent, later (100)", "MS"},
        {"die-after", 0, 0, G_OPTION_ARG_FILENAME, &given->die_after,
         "End by SIGKILL after so many served wake-ups", "N"},
        {"verbose", 'v', 0, G_OPTION_ARG_NONE, &options->verbose, "Log more", NULL},
        {"version", 0, 0, G_OPTION_ARG_NONE, &options->version, "Print the version", NULL},
        G_OPTION_ENTRY_NULL,
    };

    G_STATIC_ASSERT(sizeof table == N_OPTIONS * sizeof entries[0]);
    memcpy(entries, table, sizeof table);
}

static void given_clear(Given *given)
{
    cvd_vm_options_clear(&given->options);
    g_free(given->die_after);
    g_free(given->slow);
    g_free(given->seed);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Given, given_clear)

gboolean cvd_vm_options_parse(const char *const *argv, CvdVmOptions *options, GError **error)
{
    g_auto(Given) given = {0};
    g_auto(GStrv) rest = g_strdupv((char **)argv);
    GOptionEntry entries[N_OPTIONS];
    const CvdUsage usage = {
        .command = "cvd-vm",
        .summary = "A VM without a QEMU: attaches to the VM socket of cvd-launch --serve-only and\n"
                   "answers host programs as the built-in guest does.",
        .options = entries,
        .epilogue = "\n"
                    "Exit status:\n"
                    "  0  stopped by a signal, or the server closed the connection\n"
                    "  1  could not attach, or the server broke the protocol\n"
                    "  2  usage error\n"
                    "See cvd-vm(1).\n",
        .data = &given,
    };

    fill_options(&given, entries);
    if (!cvd_usage_parse(&usage, &rest, error) ||
        (!given.options.version &&
         (!read_numbers(&given, error) || !check_given(&given, rest, error)))) {
        cvd_error_add_help(error, "cvd-vm");
        return FALSE;
    }
    *options = given.options;
    given.options = (CvdVmOptions){0};
    return TRUE;
}

int cvd_vm_options_complete(char **words)
{
    g_auto(Given) given = {0};
    GOptionEntry entries[N_OPTIONS];

    fill_options(&given, entries);
    return cvd_complete(&(const CvdCompletion){.options = entries}, words);
}

void cvd_vm_options_clear(CvdVmOptions *options)
{
    g_clear_pointer(&options->socket, g_free);
    g_clear_pointer(&options->name, g_free);
}
