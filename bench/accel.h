/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * accel_choose:
 * @wanted: (inout): kvm or tcg; if %NULL, KVM where it boots a Linux guest, else TCG
 * @why: (out) (transfer full): why that one
 *
 * Returns: %FALSE when the whole run is to end
 */
gboolean accel_choose(const char **wanted, char **why);

G_END_DECLS
