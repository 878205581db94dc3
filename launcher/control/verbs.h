/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/lifecycle/lifecycle.h"

G_BEGIN_DECLS

/**
 * CvdVerb:
 * @method: of org.cvd.Instance1
 * @name: as users know it
 * @states: those in which it may be used, a bit each
 * @command: (nullable): the QMP command that carries it out, or else
 * @event: what it is to the life cycle
 * @awaited: what has to be so before it is answered
 *
 * Something that users can ask of an instance: a row of the table of verbs.
 */
typedef struct {
    const char *method;
    const char *name;
    guint states;
    const char *command;
    CvdEvent event;
    CvdAwaited awaited;
} CvdVerb;

/** cvd_verb_find: Returns: (nullable): the verb that the D-Bus method stands for */
const CvdVerb *cvd_verb_find(const char *method);

/** cvd_verb_get_obstacle: Returns: (nullable): %NULL if the verb may be used in @state; if not,
 * what has to be done before */
const char *cvd_verb_get_obstacle(const CvdVerb *verb, CvdState state);

G_END_DECLS
