/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * All that a program needs which embeds the server in a GMainLoop of its own; docs/examples has
 * one. `pkg-config --cflags --libs cvd-server` says how to compile and link it.
 */
#include "base/error.h"
#include "server/layout.h"
#include "server/server.h"
