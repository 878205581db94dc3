/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shell knows nothing of the verbs: base/tool-completion.bash runs the program with --complete
 * and the words of the command line, and offers what is printed.
 */
#include "base/tool-complete.h"

#include "base/instance.h"

#include <string.h>

typedef struct {
    CvdTool *tool;
    const CvdToolProgram *program;
    const GOptionEntry *common;
    const CvdToolVerb *verb;        /* NULL: it is still to come */
    guint n_arguments;              /* of it, so far */
    const GOptionEntry *open_ended; /* the option whose value follows */
} Line;

static const GOptionEntry *find_option(const GOptionEntry *options, const char *word)
{
    for (; options && options->long_name; options++)
        if ((g_str_has_prefix(word, "--") && strcmp(word + 2, options->long_name) == 0) ||
            (word[0] == '-' && word[1] && word[1] == options->short_name && !word[2]))
            return options;
    return NULL;
}

static void read_option(Line *line, const char *word)
{
    const GOptionEntry *option = find_option(line->common, word);

    if (!option && line->verb)
        option = find_option(line->verb->options, word);
    if (option && option->arg != G_OPTION_ARG_NONE)
        line->open_ended = option;
}

/* The instance matters, as it has the regions. */
static void read_value(Line *line, const char *word)
{
    char **value = line->open_ended->arg_data;

    if (value == &line->tool->name || value == &line->tool->socket) {
        g_free(*value);
        *value = g_strdup(word);
    }
    line->open_ended = NULL;
}

static void read_word(Line *line, const char *word)
{
    if (strcmp(word, "=") == 0) /* to bash a word of its own */
        return;
    if (line->open_ended)
        read_value(line, word);
    else if (word[0] == '-')
        read_option(line, word);
    else if (line->verb)
        line->n_arguments++;
    else
        for (const CvdToolVerb *verb = line->program->verbs; verb->name; verb++)
            if (strcmp(verb->name, word) == 0)
                line->verb = verb;
}

static void add_options(GPtrArray *words, const GOptionEntry *options)
{
    for (; options && options->long_name; options++)
        g_ptr_array_add(words, g_strconcat("--", options->long_name, NULL));
}

static void add_instances(GPtrArray *words)
{
    for (CvdInstances which = CVD_INSTANCES_RUNNING; which <= CVD_INSTANCES_FAILED; which++) {
        g_autoptr(GPtrArray) dirs = cvd_instance_list(which, NULL);
        for (guint i = 0; dirs && i < dirs->len; i++)
            g_ptr_array_add(words, g_path_get_basename(g_ptr_array_index(dirs, i)));
    }
}

static void add_values(const Line *line, const char *kind, GPtrArray *words)
{
    if (strcmp(kind, "NAME") == 0)
        add_instances(words);
    else if (line->program->complete)
        line->program->complete(line->tool, kind, words);
}

static void add_arguments(const Line *line, GPtrArray *words)
{
    g_auto(GStrv) kinds = g_strsplit(line->verb->arguments, " ", -1);

    if (line->n_arguments < g_strv_length(kinds))
        add_values(line, kinds[line->n_arguments], words);
}

static GPtrArray *find_words(const Line *line, const char *begun)
{
    GPtrArray *words = g_ptr_array_new_with_free_func(g_free);

    if (line->open_ended) {
        add_values(line, line->open_ended->arg_description, words);
    } else if (begun[0] == '-') {
        add_options(words, line->common);
        add_options(words, line->verb ? line->verb->options : NULL);
    } else if (line->verb) {
        add_arguments(line, words);
    } else {
        for (const CvdToolVerb *verb = line->program->verbs; verb->name; verb++)
            g_ptr_array_add(words, g_strdup(verb->name));
    }
    return words;
}

gboolean cvd_tool_complete(const CvdToolProgram *program, CvdTool *tool, const GOptionEntry *common,
                           char **words, GError **error)
{
    Line line = {.tool = tool, .program = program, .common = common};

    for (; words[0] && words[1]; words++)
        read_word(&line, words[0]);
    g_autoptr(GPtrArray) found = find_words(&line, words[0] ? words[0] : "");
    for (guint i = 0; i < found->len; i++)
        if (!cvd_tool_print(error, "%s\n", (const char *)g_ptr_array_index(found, i)))
            return FALSE;
    return TRUE;
}
