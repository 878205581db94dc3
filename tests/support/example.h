/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "tests/support/sandbox.h"

G_BEGIN_DECLS

/**
 * test_example_copy:
 * @name: of a file in conf/examples, without its suffix
 *
 * Copies it into the sandbox, with the layout that it names; and makes beside it what examples name
 * there: the folders share and tpm, the first with a file `host` in it, and the disk disk.img, of
 * 4 MiB. Both begin with the line `from the host`.
 *
 * Returns: (transfer full): the copy's path
 */
char *test_example_copy(const TestSandbox *sandbox, const char *name);

/** test_example_path: Returns: (transfer full): the path of a file beside the copy */
char *test_example_path(const TestSandbox *sandbox, const char *name);

/** test_example_why_not: Returns: (transfer full) (nullable): why a program of an example cannot be
 * run here; @name: of the example */
char *test_example_why_not(const char *name);

/** test_find_free_port: Returns: a port of the host's loopback at which nobody listens */
guint16 test_find_free_port(void);
/** test_connect_port: Returns: a connection to such a port, at which somebody listens by now */
int test_connect_port(guint16 port);

G_END_DECLS
