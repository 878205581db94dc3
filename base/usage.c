/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GOption's own --help takes ten lines more, of which a terminal of 24 has too few.
 */
#include "base/usage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_COLUMNS 80

static const GOptionEntry no_options[] = {G_OPTION_ENTRY_NULL};

/* Returns: (transfer full): such as `  -n, --name=NAME` */
static char *format_option(const GOptionEntry *option)
{
    const char letter[] = {'-', option->short_name, ',', '\0'};
    const char *value = option->arg_description;
    GString *text = g_string_new(NULL);

    g_string_append_printf(text, "  %3s --%s", option->short_name ? letter : "", option->long_name);
    if (value && option->flags & G_OPTION_FLAG_OPTIONAL_ARG)
        g_string_append_printf(text, "[=%s]", value);
    else if (value)
        g_string_append_printf(text, "=%s", value);
    return g_string_free(text, FALSE);
}

static void append_name(gpointer *names, const char *name)
{
    char *longer = g_strconcat(*names, ", --", name, NULL);

    g_free(*names);
    *names = longer;
}

/* Lines are scarce: an option without a description is described with the one before it. */
static void add_options(GPtrArray *names, GPtrArray *texts, const GOptionEntry *options,
                        gboolean *has_version)
{
    for (; options && options->long_name; options++) {
        if (options->flags & G_OPTION_FLAG_HIDDEN)
            continue;
        if (strcmp(options->long_name, "version") == 0) {
            *has_version = TRUE;
            continue;
        }
        if (!options->description) {
            append_name(&names->pdata[names->len - 1], options->long_name);
            continue;
        }
        g_ptr_array_add(names, format_option(options));
        g_ptr_array_add(texts, (char *)options->description);
    }
}

/* Every program has --version, whose line is scarce; a verb hides it. */
static void add_help(GPtrArray *names, GPtrArray *texts, gboolean has_version)
{
    g_ptr_array_add(names, g_strconcat("  -h, --help", has_version ? ", --version" : "", NULL));
    g_ptr_array_add(texts, (char *)(has_version ? "Print either" : "Print this"));
}

/* @first, @step: which of them. Returns: how wide they are at most */
static guint get_width(GPtrArray *strings, guint first, guint step)
{
    guint width = 0;

    for (guint i = first; i < strings->len; i += step)
        width = MAX(width, (guint)strlen(g_ptr_array_index(strings, i)));
    return width;
}

/* In two columns where all are short. */
static void append_options(GString *text, const CvdUsage *usage)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) texts = g_ptr_array_new();
    gboolean has_version = FALSE;
    guint n_columns = 2;

    add_options(names, texts, usage->options, &has_version);
    add_options(names, texts, usage->common, &has_version);
    add_help(names, texts, has_version);
    for (guint i = 0; i < 2; i++)
        if (get_width(names, i, 2) + 2 + get_width(texts, i, 2) >= N_COLUMNS / 2)
            n_columns = 1;
    for (guint i = 0; i < names->len; i++) {
        gboolean is_last = i % n_columns == n_columns - 1 || i + 1 == names->len;
        int width = (int)get_width(names, i % n_columns, n_columns);
        g_string_append_printf(text, "%-*s  %-*s%s", width, (char *)g_ptr_array_index(names, i),
                               is_last ? 0 : N_COLUMNS / 2 - width - 2,
                               (char *)g_ptr_array_index(texts, i), is_last ? "\n" : "");
    }
}

char *cvd_usage_format(const CvdUsage *usage)
{
    GString *text = g_string_new(NULL);

    g_string_append_printf(text, "Usage: %s [OPTION...]%s%s\n%s\n\n", usage->command,
                           usage->parameters && *usage->parameters ? " " : "",
                           usage->parameters ? usage->parameters : "", usage->summary);
    if (usage->verbs)
        g_string_append_printf(text, "%s\n", usage->verbs);
    append_options(text, usage);
    g_string_append(text, usage->epilogue ? usage->epilogue : "");
    return g_string_free(text, FALSE);
}

static void print_and_exit(const CvdUsage *usage)
{
    g_autofree char *text = cvd_usage_format(usage);

    if (fputs(text, stdout) >= 0 && fflush(stdout) == 0)
        exit(EXIT_SUCCESS);
    g_printerr("%s: cannot write to stdout: %s\n", usage->command, g_strerror(errno));
    exit(EXIT_FAILURE);
}

gboolean cvd_usage_parse(const CvdUsage *usage, char ***argv, GError **error)
{
    gboolean help = FALSE;
    const GOptionEntry own[] = {{"help", 'h', 0, G_OPTION_ARG_NONE, &help, NULL, NULL},
                                G_OPTION_ENTRY_NULL};
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    GOptionGroup *group = g_option_group_new(NULL, NULL, NULL, usage->data, NULL);

    g_option_group_add_entries(group, usage->options ? usage->options : no_options);
    g_option_group_add_entries(group, usage->common ? usage->common : no_options);
    g_option_group_add_entries(group, own);
    g_option_context_set_main_group(context, group);
    g_option_context_set_help_enabled(context, FALSE);
    g_option_context_set_strict_posix(context, usage->is_strict);
    if (!g_option_context_parse_strv(context, argv, error))
        return FALSE;
    if (help)
        print_and_exit(usage);
    return TRUE;
}

void cvd_usage_add_given(const GOptionEntry *options, GPtrArray *words)
{
    for (; options && options->long_name; options++) {
        if (options->arg == G_OPTION_ARG_NONE) {
            if (*(const gboolean *)options->arg_data)
                g_ptr_array_add(words, g_strconcat("--", options->long_name, NULL));
            continue;
        }
        g_assert(options->arg == G_OPTION_ARG_STRING || options->arg == G_OPTION_ARG_FILENAME);
        const char *value = *(char *const *)options->arg_data;
        if (value)
            g_ptr_array_add(words, g_strconcat("--", options->long_name, "=", value, NULL));
    }
}
