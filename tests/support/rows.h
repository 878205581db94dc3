/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/** TestAdd: adds one test: g_test_add_data_func(), or test_add() of tests/support/process.h */
typedef void (*TestAdd)(const char *path, gconstpointer data, GTestDataFunc test);

static inline void test_add_each(TestAdd add, const char *prefix, gconstpointer rows, gsize size,
                                 gsize n_rows, GTestDataFunc test)
{
    for (gsize i = 0; i < n_rows; i++) {
        gconstpointer row = (const char *)rows + i * size;
        g_autofree char *path = g_strconcat(prefix, *(const char *const *)row, NULL);

        add(path, row, test);
    }
}

/**
 * test_add_rows:
 * @add: a #TestAdd
 * @prefix: what the tests' paths begin with
 * @rows: an array of structures, whose first member is a name, the end of the path
 * @test: the test, which is called with a row
 *
 * Adds a test for each row.
 */
#define test_add_rows(add, prefix, rows, test)                                                     \
    test_add_each(add, prefix, rows, sizeof *(rows), G_N_ELEMENTS(rows), test)

G_END_DECLS
