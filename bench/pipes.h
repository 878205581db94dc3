/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "tests/support/region.h"
#include "vsoc/ring.h"

G_BEGIN_DECLS

/** Pipe: a way by which messages go to a reader that compares each with its tag */
typedef struct Pipe Pipe;

/** pipe_new_region: a ring in the data of a region, whose reader is still to be started */
Pipe *pipe_new_region(const TestRegion *region);
/** pipe_new_stream: a stream of bytes; @fd stays the caller's */
Pipe *pipe_new_stream(int fd);
/** pipe_new_host: a ring in memory that is shared with a process of this host */
Pipe *pipe_new_host(void);
void pipe_free(Pipe *pipe);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Pipe, pipe_free)

/**
 * pipe_measure:
 * @size: of each message, at least 1
 * @slice_ms: for how long to send
 *
 * Sends as fast as it goes, and waits until the reader has accounted for all of it. Ends the
 * program if it has not got every message as it was sent.
 *
 * Returns: MiB a second, without headers
 */
double pipe_measure(Pipe *pipe, guint size, guint slice_ms);

G_END_DECLS
