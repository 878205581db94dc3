/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/lifecycle/lifecycle.h"

G_BEGIN_DECLS

/** lifecycle_event_names: (array length=CVD_N_EVENTS): one word each */
extern const char *const lifecycle_event_names[];

/** lifecycle_actions_to_text: Returns: (transfer full): the actions in words; a command that is
 * sent by its own name, e.g. `clear,cont` */
char *lifecycle_actions_to_text(guint actions, CvdGuestCommand command);

G_END_DECLS
