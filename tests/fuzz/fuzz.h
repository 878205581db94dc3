/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/*
 * A target takes one input. libFuzzer's main function makes inputs up; that of corpus.c takes
 * files, so that every target is an ordinary test as well.
 */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const guint8 *data, gsize size);

/** fuzz_init: what every target begins with: nothing is logged, and a critical message is a crash
 */
void fuzz_init(void);

/** fuzz_connect: Returns: one end of a pair of non-blocking sockets; @other is the other */
int fuzz_connect(int *other);

/** fuzz_drain: reads what there is and closes what came with it. Returns: how many bytes */
gsize fuzz_drain(int fd);

/** fuzz_chunk: Returns: how many of @size bytes to send next, at least 1; @seed changes */
gsize fuzz_chunk(guint8 *seed, gsize size);

G_END_DECLS
