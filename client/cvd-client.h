/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Everything of the client library: what a host program includes. */

#include "client/instance.h"
#include "client/region.h"
