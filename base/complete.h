/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/tool.h"

G_BEGIN_DECLS

/**
 * CvdCompletion:
 * @options: those that may stand anywhere
 * @verbs: (nullable): those of the program
 * @argument: (nullable): the kind of its only argument, if it has no verbs
 * @add: (nullable): adds what a value of a kind may be, by cvd_complete_add(); a kind is what
 * --help shows: `REGION`
 * @data: for @add
 * @host: (nullable): where the option is stored that says that the command is for another machine;
 *   instances are not offered then
 *
 * What a program's command line may have.
 */
typedef struct {
    const GOptionEntry *options;
    const CvdToolVerb *verbs;
    const char *argument;
    void (*add)(gpointer data, const char *kind, GPtrArray *words);
    gpointer data;
    char *const *host;
} CvdCompletion;

/**
 * cvd_complete:
 * @words: (array zero-terminated=1): what stands on the shell's command line after the program's
 *   name; the last is to be completed
 *
 * Prints what may stand there, whatever it begins with, a line each: the word, and a tab and what
 * it is if that is known. An empty word stands for the names of files. Ends the process when that
 * takes longer than 2 seconds.
 *
 * Returns: the program's exit status
 */
int cvd_complete(const CvdCompletion *completion, char **words);

/**
 * cvd_complete_add:
 * @description: (nullable): what @word is
 */
void cvd_complete_add(GPtrArray *words, const char *word, const char *description);

/** cvd_complete_is_asked: Returns: whether a shell asks, by `--complete` as the first argument */
gboolean cvd_complete_is_asked(const char *const *argv);

G_END_DECLS
