/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tool.h"

#include "base/complete.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/instance.h"
#include "base/terminal-text.h"
#include "base/usage.h"

#include <gio/gio.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_USAGE 2
#define N_OPTIONS  7

static const CvdToolVerb *find_verb(const CvdToolProgram *program, const char *name, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    for (const CvdToolVerb *verb = program->verbs; verb->name; verb++) {
        if (strcmp(verb->name, name) == 0 || g_strcmp0(verb->alias, name) == 0)
            return verb;
        g_ptr_array_add(names, (char *)verb->name);
    }
    g_ptr_array_add(names, NULL);
    cvd_tool_check_choice("verb", name, (const char *const *)names->pdata, error);
    return NULL;
}

/*
 * Waits for a signal and triggers the cancellable, which a handler could not do. The next one acts
 * as if nobody waited: a way out, whatever the program is doing.
 */
typedef struct {
    sigset_t signals;
    GCancellable *cancellable;
} Interrupt;

static gpointer wait_for_signals(gpointer data)
{
    Interrupt *interrupt = data;
    int number;
    sigwait(&interrupt->signals, &number);
    g_cancellable_cancel(interrupt->cancellable);
    pthread_sigmask(SIG_UNBLOCK, &interrupt->signals, NULL);
    for (;;)
        pause();
    return NULL;
}

/* Before any other thread is there, so that all have the mask. Ignored signals stay so: nohup. */
void cvd_tool_catch_signals(CvdTool *tool)
{
    static Interrupt interrupt;
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    interrupt.cancellable =
        g_object_ref(tool->cancellable); /* for good: a signal may come at the end */
    sigemptyset(&interrupt.signals);
    for (guint i = 0; i < G_N_ELEMENTS(numbers); i++) {
        struct sigaction action;
        if (sigaction(numbers[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&interrupt.signals, numbers[i]);
    }
    pthread_sigmask(SIG_BLOCK, &interrupt.signals, NULL);
    g_thread_unref(g_thread_new("signals", wait_for_signals, &interrupt));
}

static char *describe_verbs(const CvdToolProgram *program)
{
    GString *text = g_string_new(NULL);
    for (const CvdToolVerb *verb = program->verbs; verb->name; verb++) {
        const CvdToolVerb *first = verb;
        const char *summary = verb->with_next ? verb->with_next : verb->summary;
        g_autoptr(GString) usage = g_string_new(verb->name);
        for (; verb->with_next; verb++)
            g_string_append_printf(usage, ", %s", verb[1].name);
        if (verb == first)
            g_string_append_printf(usage, " %s", verb->arguments);
        g_string_append_printf(text, "  %-29s %s\n", usage->str, summary);
    }
    return g_string_free(text, FALSE);
}

/* Those of all verbs; one that has no use for a group or a name says so when it is given one. */
static void fill_options(const CvdToolProgram *program, CvdTool *tool,
                         GOptionEntry options[N_OPTIONS])
{
    gboolean is_single = tool->verb && !tool->verb->takes_group;
    gboolean has_no_name = tool->verb && tool->verb->has_no_name;
    const struct {
        gboolean is_there;
        GOptionEntry option;
    } common[] = {
        {TRUE,
         {"name", 'n', has_no_name ? G_OPTION_FLAG_HIDDEN : 0, G_OPTION_ARG_FILENAME, &tool->name,
          "The instance", "NAME"}},
        {program->has_groups,
         {"group", 'g', is_single ? G_OPTION_FLAG_HIDDEN : 0, G_OPTION_ARG_FILENAME, &tool->group,
          "Instances GROUP-N", "GROUP"}},
        {program->run_on_host != NULL,
         {"host", 'H', 0, G_OPTION_ARG_FILENAME, &tool->host, "Run it there", "[USER@]HOST"}},
        {TRUE, {"json", 0, 0, G_OPTION_ARG_NONE, &tool->json, "Print JSON", NULL}},
        {TRUE,
         {"version", 0, tool->verb ? G_OPTION_FLAG_HIDDEN : 0, G_OPTION_ARG_NONE, &tool->version,
          "Print the version", NULL}},
        {program->has_socket,
         {"socket", 's', 0, G_OPTION_ARG_FILENAME, &tool->socket, "Its client socket", "PATH"}},
        {TRUE, G_OPTION_ENTRY_NULL},
    };
    guint n = 0;

    G_STATIC_ASSERT(G_N_ELEMENTS(common) == N_OPTIONS);
    for (guint i = 0; i < G_N_ELEMENTS(common); i++)
        if (common[i].is_there)
            options[n++] = common[i].option;
}

static int complete(const CvdToolProgram *program, CvdTool *tool, char **words)
{
    GOptionEntry options[N_OPTIONS];
    const CvdCompletion completion = {
        .options = options,
        .verbs = program->verbs,
        .add = program->complete,
        .data = tool,
        .host = &tool->host,
    };

    fill_options(program, tool, options);
    return cvd_complete(&completion, words);
}

static gboolean check_count(const CvdToolProgram *program, const CvdToolVerb *verb, guint n,
                            char **arguments, GError **error)
{
    g_auto(GStrv) kinds = g_strsplit(verb->arguments, " ", -1);
    guint min = 0, max = g_strv_length(kinds);

    while (kinds[min] && kinds[min][0] != '[')
        min++;
    if (n < min)
        return cvd_tool_fail_usage(error, "%s needs more arguments: %s %s %s", verb->name,
                                   program->name, verb->name, verb->arguments);
    if (n <= max || (max > 0 && g_str_has_suffix(kinds[max - 1], "...]")))
        return TRUE;
    g_autofree char *escaped = g_strescape(arguments[max], NULL);
    gboolean is_name =
        max == 0 && !verb->has_no_name && cvd_instance_check_name(arguments[0], NULL);
    return cvd_tool_fail_usage(error, "unexpected argument '%s': %s %s%s%s%s", escaped,
                               program->name, verb->name, *verb->arguments ? " " : "",
                               verb->arguments, is_name ? "; --name says which instance" : "");
}

static gboolean check_group(const CvdTool *tool, GError **error)
{
    if (!cvd_instance_check_name(tool->group, NULL))
        return cvd_tool_fail_usage(error, "'%s' is no group's name", tool->group);
    if (tool->name)
        return cvd_tool_fail_usage(error, "--name and --group both say which instances; give one");
    if (!tool->verb->takes_group)
        return cvd_tool_fail_usage(error, "%s has no --group: it is %s", tool->verb->name,
                                   tool->verb->has_no_name ? "not about instances"
                                                           : "for one instance at a time");
    return TRUE;
}

static gboolean check_instance(const CvdTool *tool, GError **error)
{
    g_autoptr(GError) reason = NULL;

    if (tool->name && !cvd_instance_check_name(tool->name, &reason))
        return cvd_tool_fail_usage(error, "%s", reason->message);
    if (tool->name && tool->verb->has_no_name)
        return cvd_tool_fail_usage(error, "%s has no --name: it is not about instances",
                                   tool->verb->name);
    if (tool->name && tool->socket)
        return cvd_tool_fail_usage(error, "--name and --socket both say which instance; give one");
    return !tool->group || check_group(tool, error);
}

/* Takes the options off, and the `--` before arguments that look like some, which GOption keeps
 * after other arguments. Returns: what follows the program's name */
static char **parse_arguments(const CvdUsage *usage, char ***argv, GError **error)
{
    if (!cvd_usage_parse(usage, argv, error))
        return NULL;
    char **rest = *argv + 1;
    guint at = 0;
    while (rest[at] && strcmp(rest[at], "--") != 0 && !usage->is_strict)
        at++;
    if (!rest[at] || strcmp(rest[at], "--") != 0)
        return rest;
    g_free(rest[at]);
    do
        rest[at] = rest[at + 1];
    while (rest[at++]);
    return rest;
}

static gboolean print_version(const CvdToolProgram *program, GError **error)
{
    return cvd_tool_print(error, "%s %s\n", program->name, program->version);
}

static gboolean run_verb(const CvdToolProgram *program, const CvdToolVerb *verb, CvdTool *tool,
                         char **argv, GError **error)
{
    g_autofree char *command = g_strdup_printf("%s %s", program->name, verb->name);
    g_autofree char *epilogue =
        verb->description ? g_strconcat("\n", verb->description, "\n", NULL) : NULL;
    g_auto(GStrv) own_argv = g_strdupv(argv);
    GOptionEntry common[N_OPTIONS];
    const CvdUsage usage = {
        .command = command,
        .parameters = verb->arguments,
        .summary = verb->summary,
        .options = verb->options,
        .common = common,
        .epilogue = epilogue,
    };

    tool->verb = verb;
    tool->options = common;
    g_set_prgname(command);
    fill_options(program, tool, common);
    char **arguments = parse_arguments(&usage, &own_argv, error);
    if (arguments && tool->version)
        return print_version(program, error);
    if (!arguments || !check_count(program, verb, g_strv_length(arguments), arguments, error) ||
        !check_instance(tool, error))
        return FALSE;
    if (tool->host)
        return program->run_on_host(tool, arguments, error);
    if (!verb->takes_signals)
        cvd_tool_catch_signals(tool);
    return verb->run(tool, arguments, error);
}

static gboolean run(const CvdToolProgram *program, CvdTool *tool, char **argv, GError **error)
{
    g_autofree char *text = describe_verbs(program);
    g_auto(GStrv) own_argv = g_strdupv(argv);
    GOptionEntry options[N_OPTIONS];
    const CvdUsage usage = {
        .command = program->name,
        .parameters = "VERB [ARGUMENT...]",
        .summary = program->summary,
        .verbs = text,
        .options = options,
        .epilogue = program->epilogue,
        .is_strict = TRUE,
    };

    g_set_prgname(program->name);
    fill_options(program, tool, options);
    char **rest = parse_arguments(&usage, &own_argv, error);
    if (!rest)
        return FALSE;
    if (tool->version)
        return print_version(program, error);
    if (!rest[0])
        return cvd_tool_fail_usage(error, "a verb is missing");
    const CvdToolVerb *verb = find_verb(program, rest[0], error);
    return verb && run_verb(program, verb, tool, rest, error);
}

static int report(const CvdToolProgram *program, GError **error)
{
    if (program->clarify)
        program->clarify(*error);
    gboolean is_usage = (*error)->domain == G_OPTION_ERROR;
    /* Whoever closed the pipe has seen enough. */
    if (g_error_matches(*error, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE))
        return EXIT_FAILURE;
    if (is_usage)
        cvd_error_add_help(error, g_get_prgname());
    const char *message = cvd_tool_is_cancelled(*error) ? "interrupted" : (*error)->message;
    g_autoptr(GString) text = g_string_new(NULL);
    cvd_terminal_text_append(text, message, strlen(message), TRUE);
    g_printerr("%s: %s\n", program->name, text->str);
    return is_usage ? EXIT_USAGE : EXIT_FAILURE;
}

int cvd_tool_main(const CvdToolProgram *program, char **argv)
{
    g_autoptr(GError) error = NULL;
    CvdTool tool = {.cancellable = g_cancellable_new()};

    if (cvd_fd_fill_stdio() < 0)
        return EXIT_FAILURE;
    /* Names and help as the terminal has them, but numbers as programs read them. */
    setlocale(LC_CTYPE, "");
    signal(SIGPIPE, SIG_IGN);
    int status = cvd_complete_is_asked((const char *const *)argv)
                     ? complete(program, &tool, argv + 2)
                 : run(program, &tool, argv, &error) ? tool.status
                                                     : report(program, &error);
    g_free(tool.name);
    g_free(tool.group);
    g_free(tool.host);
    g_free(tool.socket);
    g_object_unref(tool.cancellable);
    return status;
}
