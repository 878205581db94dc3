/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shells know nothing of options and verbs: the scripts in base/completion/ run the program
 * with --complete and the words of the command line, and offer what is printed.
 */
#include "base/complete.h"

#include "base/instance.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Who waits at a prompt; an instance that is stopped, or another user's, may not answer. */
#define LIMIT_S 2

typedef struct {
    const CvdCompletion *completion;
    const CvdToolVerb *verb;        /* NULL: it is still to come */
    guint n_arguments;              /* of it, so far */
    const GOptionEntry *open_ended; /* the option whose value follows */
} Line;

void cvd_complete_add(GPtrArray *words, const char *word, const char *description)
{
    g_ptr_array_add(words, g_strconcat(word, description ? "\t" : NULL, description, NULL));
}

gboolean cvd_complete_is_asked(const char *const *argv)
{
    return argv[0] && g_strcmp0(argv[1], "--complete") == 0;
}

static const GOptionEntry *find_in(const GOptionEntry *options, const char *word)
{
    gsize length = strcspn(word, "=");

    for (; options && options->long_name; options++)
        if ((g_str_has_prefix(word, "--") && strlen(options->long_name) == length - 2 &&
             strncmp(word + 2, options->long_name, length - 2) == 0) ||
            (word[0] == '-' && word[1] && word[1] == options->short_name && !word[2]))
            return options;
    return NULL;
}

static const GOptionEntry *find_option(const Line *line, const char *word)
{
    const GOptionEntry *option = find_in(line->completion->options, word);

    return option || !line->verb ? option : find_in(line->verb->options, word);
}

/* Whoever adds words may have to know it: the instance has the regions. */
static void read_value(const GOptionEntry *option, const char *word)
{
    char **value = option->arg_data;

    if (option->arg == G_OPTION_ARG_FILENAME) {
        g_free(*value);
        *value = g_strdup(word);
    }
}

static void read_option(Line *line, const char *word)
{
    const GOptionEntry *option = find_option(line, word);
    const char *value = strchr(word, '=');

    if (!option || !option->arg_description)
        return;
    if (value)
        read_value(option, value + 1);
    else if (!(option->flags & G_OPTION_FLAG_OPTIONAL_ARG))
        line->open_ended = option;
}

static void read_word(Line *line, const char *word)
{
    if (strcmp(word, "=") == 0) /* to bash a word of its own */
        return;
    if (line->open_ended)
        read_value(g_steal_pointer(&line->open_ended), word);
    else if (word[0] == '-')
        read_option(line, word);
    else if (line->verb)
        line->n_arguments++;
    else
        for (const CvdToolVerb *verb = line->completion->verbs; verb && verb->name; verb++)
            if (strcmp(verb->name, word) == 0)
                line->verb = verb;
}

static void add_options(GPtrArray *words, const GOptionEntry *options)
{
    for (; options && options->long_name; options++) {
        g_autofree char *word = g_strconcat("--", options->long_name, NULL);
        cvd_complete_add(words, word, options->description);
    }
}

static void add_instances(GPtrArray *words)
{
    for (CvdInstances which = CVD_INSTANCES_RUNNING; which <= CVD_INSTANCES_FAILED; which++) {
        g_autoptr(GPtrArray) dirs = cvd_instance_list(which, NULL);
        for (guint i = 0; dirs && i < dirs->len; i++) {
            g_autofree char *name = g_path_get_basename(g_ptr_array_index(dirs, i));
            cvd_complete_add(words, name, which == CVD_INSTANCES_RUNNING ? "runs" : "has failed");
        }
    }
}

static void add_groups(GPtrArray *words)
{
    g_auto(GStrv) groups = cvd_instance_list_groups();

    for (char **group = groups; *group; group++)
        cvd_complete_add(words, *group, NULL);
}

static void add_values(const Line *line, const char *kind, GPtrArray *words)
{
    gboolean is_here = !line->completion->host || !*line->completion->host;

    if (strcmp(kind, "FILE") == 0 || strcmp(kind, "PATH") == 0)
        cvd_complete_add(words, "", "files");
    else if (strcmp(kind, "NAME") == 0 && is_here)
        add_instances(words);
    else if (strcmp(kind, "GROUP") == 0 && is_here)
        add_groups(words);
    if (line->completion->add)
        line->completion->add(line->completion->data, kind, words);
}

static void add_arguments(const Line *line, GPtrArray *words)
{
    g_auto(GStrv) kinds = g_strsplit(line->verb->arguments, " ", -1);
    guint n = g_strv_length(kinds);
    gboolean goes_on = n > 0 && g_str_has_suffix(kinds[n - 1], "...]");

    if (line->n_arguments < n)
        add_values(line, kinds[line->n_arguments], words);
    else if (goes_on)
        add_values(line, kinds[n - 1], words);
}

/* Of an option and its value in one word, as all shells but bash have it. */
static void add_with_option(const Line *line, const char *begun, GPtrArray *words)
{
    const GOptionEntry *option = find_option(line, begun);
    g_autoptr(GPtrArray) values = g_ptr_array_new_with_free_func(g_free);

    if (option && option->arg_description)
        add_values(line, option->arg_description, values);
    for (guint i = 0; i < values->len; i++)
        g_ptr_array_add(words, g_strdup_printf("--%s=%s", option->long_name,
                                               (char *)g_ptr_array_index(values, i)));
}

static GPtrArray *find_words(const Line *line, const char *begun)
{
    GPtrArray *words = g_ptr_array_new_with_free_func(g_free);

    if (line->open_ended) {
        add_values(line, line->open_ended->arg_description, words);
    } else if (g_str_has_prefix(begun, "--") && strchr(begun, '=')) {
        add_with_option(line, begun, words);
    } else if (begun[0] == '-') {
        add_options(words, line->verb ? line->verb->options : NULL);
        add_options(words, line->completion->options);
        cvd_complete_add(words, "--help", "Print what there is");
    } else if (line->verb) {
        add_arguments(line, words);
    } else if (line->completion->argument) {
        add_values(line, line->completion->argument, words);
    } else {
        for (const CvdToolVerb *verb = line->completion->verbs; verb && verb->name; verb++)
            cvd_complete_add(words, verb->name, verb->summary);
    }
    return words;
}

static void give_up(int signal_number)
{
    _exit(EXIT_FAILURE);
}

int cvd_complete(const CvdCompletion *completion, char **words)
{
    Line line = {.completion = completion};

    signal(SIGALRM, give_up);
    alarm(LIMIT_S);
    for (; words[0] && words[1]; words++)
        read_word(&line, words[0]);
    g_autoptr(GPtrArray) found = find_words(&line, words[0] ? words[0] : "");
    for (guint i = 0; i < found->len; i++)
        puts(g_ptr_array_index(found, i));
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
