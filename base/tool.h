/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct CvdToolVerb CvdToolVerb;

/**
 * CvdTool:
 * @name: (nullable): of the instance, as given
 * @group: (nullable): of instances, as given
 * @socket: (nullable): path of its socket, as given, or found later
 * @host: (nullable): where the verb is to be carried out, as given
 * @json: whether the output is to be JSON
 * @version: whether the version is all that is wanted
 * @cancellable: triggered by SIGINT, SIGTERM and SIGHUP, unless the verb takes them itself
 * @verb: what the program is to do
 * @options: (array zero-terminated=1): those that all verbs have
 * @status: the exit status if nothing has failed here
 *
 * What all verbs of a program share.
 *
 * An error of %G_OPTION_ERROR is one of usage (exit status 2), all others are failures (1).
 */
typedef struct {
    char *name;
    char *group;
    char *socket;
    char *host;
    gboolean json;
    gboolean version;
    GCancellable *cancellable;
    const CvdToolVerb *verb;
    const GOptionEntry *options;
    int status;
} CvdTool;

/**
 * CvdToolRun:
 * @arguments: (array zero-terminated=1): as many as the verb takes
 *
 * Does what a verb says.
 */
typedef gboolean CvdToolRun(CvdTool *tool, char **arguments, GError **error);

/**
 * CvdToolVerb:
 * @name: as on the command line
 * @arguments: their kinds, as --help shows them: what is in brackets may be left out, what has dots
 *   may be repeated
 * @summary: one line for the list of verbs
 * @description: (nullable): what --help says below the options
 * @options: (nullable): its own options
 * @run: does it
 * @takes_group: whether there is an option --group: @run does it for all instances of the tool's
 *   @group
 * @has_no_name: whether it is about no instance, so that --name makes no sense
 * @method: (nullable): for @run, if it does nothing but call one
 * @done: (nullable): what an instance is then: `paused`; for one that @takes_group
 * @takes_signals: whether @run sees to all signals itself
 * @alias: (nullable): an older name, which goes on to work
 * @with_next: (nullable): one line of the list for this verb and the next, without their arguments;
 *   if that has one, too, which is empty, for more
 *
 * A row of a program's table of verbs, from which --help and the shell's completion follow.
 */
struct CvdToolVerb {
    const char *name;
    const char *arguments;
    const char *summary;
    const char *description;
    const GOptionEntry *options;
    CvdToolRun *run;
    gboolean takes_group;
    gboolean has_no_name;
    const char *method;
    const char *done;
    gboolean takes_signals;
    const char *alias;
    const char *with_next;
};

/** CVD_TOOL_OPTIONS: the @options of a verb */
#define CVD_TOOL_OPTIONS(...)                                                                      \
    (const GOptionEntry[])                                                                         \
    {                                                                                              \
        __VA_ARGS__, G_OPTION_ENTRY_NULL                                                           \
    }

/**
 * CvdToolProgram:
 * @name: of the program
 * @version: what --version prints after the name
 * @summary: what it is for, a sentence
 * @epilogue: what --help says below the options, whole lines
 * @has_socket: whether there is an option --socket, in place of --name
 * @has_groups: whether there is an option --group, in place of --name
 * @verbs: what it can do; the last has no name
 * @complete: (nullable): adds what an argument of a kind may be, by cvd_complete_add()
 * @run_on_host: (nullable): carries out the tool's verb on its @host, and sees to all signals
 *   itself; without it there is no option --host
 * @clarify: (nullable): makes the message of a failure out of its error
 *
 * A program whose first argument says what to do. Options that all verbs have may stand before the
 * verb or after it.
 */
typedef struct {
    const char *name;
    const char *version;
    const char *summary;
    const char *epilogue;
    gboolean has_socket;
    gboolean has_groups;
    const CvdToolVerb *verbs;
    void (*complete)(gpointer tool, const char *kind, GPtrArray *words);
    CvdToolRun *run_on_host;
    void (*clarify)(GError *error);
} CvdToolProgram;

/**
 * cvd_tool_main:
 *
 * Returns: the exit status: 0 = done, 1 = failed, 2 = usage error
 */
int cvd_tool_main(const CvdToolProgram *program, char **argv);

/** cvd_tool_catch_signals: from now on the first of SIGINT, SIGTERM and SIGHUP triggers the tool's
 * @cancellable, for a verb that sees to signals itself, but not always; before any thread is made
 */
void cvd_tool_catch_signals(CvdTool *tool);

/**
 * cvd_tool_fail_usage:
 * @error: set to %G_OPTION_ERROR_BAD_VALUE
 *
 * Returns: %FALSE, for the caller to return
 */
gboolean cvd_tool_fail_usage(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

/**
 * cvd_tool_check_choice:
 * @what: what @text is, for the message
 * @choices: (array zero-terminated=1): what it may be
 * @error: a usage error: says which there are, and which may have been meant
 */
gboolean cvd_tool_check_choice(const char *what, const char *text, const char *const *choices,
                               GError **error);

/**
 * cvd_tool_parse_number:
 * @text: (nullable): decimal, or hexadecimal with `0x`; %NULL leaves @value as it is
 * @what: what it is, for the message
 * @min: the least that is allowed
 * @max: the most
 * @value: (inout): the number
 */
gboolean cvd_tool_parse_number(const char *text, const char *what, guint min, guint max,
                               guint *value, GError **error);

/**
 * cvd_tool_parse_seconds:
 * @text: (nullable): a decimal fraction; %NULL leaves @ms as it is
 * @what: what it is, for the message
 * @max: the most seconds
 * @ms: (inout): the time in milliseconds, rounded up
 */
gboolean cvd_tool_parse_seconds(const char *text, const char *what, guint max, guint *ms,
                                GError **error);

/**
 * cvd_tool_print:
 *
 * Writes to stdout at once. An error of %G_IO_ERROR_BROKEN_PIPE means that its reader has gone,
 * which ends the program without a word.
 */
gboolean cvd_tool_print(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
/** cvd_tool_put: the same for bytes */
gboolean cvd_tool_put(gconstpointer data, gsize size, GError **error);
/** cvd_tool_set_output_error: @error_number: why stdout could not be written. Returns: %FALSE */
gboolean cvd_tool_set_output_error(GError **error, int error_number);

/**
 * cvd_tool_print_json:
 * @format: of a dictionary, as g_variant_new_parsed() has it: `{'name': <%s>, 'size': <%u>}`
 *
 * Prints an object as one line, its members in that order.
 */
gboolean cvd_tool_print_json(GError **error, const char *format, ...);
/** cvd_tool_format_json: Returns: (transfer full): the same, without the end of the line */
char *cvd_tool_format_json(const char *format, ...);
/** cvd_tool_add_json: adds members to @builder, which is of %G_VARIANT_TYPE_VARDICT, that are given
 * in the same way */
void cvd_tool_add_json(GVariantBuilder *builder, const char *format, ...);

/** cvd_tool_get_time: Returns: (transfer full): now, in UTC, as ISO 8601 with microseconds */
char *cvd_tool_get_time(void);

/**
 * cvd_tool_poll:
 * @fds: as of g_poll(), at most %CVD_TOOL_MAX_POLLED
 * @interval_ms: how long to wait at most; −1: without end
 * @deadline_us: monotonic time; 0: none
 * @error: %G_IO_ERROR_CANCELLED: the user has interrupted; %G_IO_ERROR_TIMED_OUT: it is later than
 *   @deadline_us
 *
 * Waits for any of @fds.
 *
 * Returns: whether to go on; also if nothing has come within @interval_ms
 */
gboolean cvd_tool_poll(CvdTool *tool, GPollFD *fds, guint n_fds, int interval_ms,
                       gint64 deadline_us, GError **error);
#define CVD_TOOL_MAX_POLLED 3

/** cvd_tool_is_cancelled: Returns: whether @error says that the user has interrupted, and no more,
 * whatever its message is */
gboolean cvd_tool_is_cancelled(const GError *error);

G_END_DECLS
