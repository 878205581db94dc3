/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/snapshot-info.h"

G_BEGIN_DECLS

/*
 * Snapshots without a machine.
 */

/** TEST_SNAPSHOT_RAM: bytes of RAM, which a reader does not read if it was not touched */
#define TEST_SNAPSHOT_RAM (32 * 1024 * 1024)

/** test_snapshot_make_info: Returns: (transfer full): what might be said of a machine */
CvdSnapshotInfo *test_snapshot_make_info(const char *name);

/** test_snapshot_make_memory: Returns: (transfer full): a descriptor of memory with a little at its
 * beginning, in the middle and at the end */
int test_snapshot_make_memory(gsize size);

/** test_snapshot_make: makes a snapshot with one disk; @is_compressed: its RAM */
void test_snapshot_make(const char *path, gboolean is_compressed);

/** test_snapshot_read: Returns: (transfer full): the text of snapshot.json */
char *test_snapshot_read(const char *path);
/** test_snapshot_write: @text: for snapshot.json, whose digest is put right */
void test_snapshot_write(const char *path, const char *text);
/** test_snapshot_record_other_digest: from here on it is found to be damaged by who reads @file */
void test_snapshot_record_other_digest(const char *path, const char *file);
/** test_snapshot_replace: Returns: (transfer full): @text with @to for @from, which is there once
 */
char *test_snapshot_replace(const char *text, const char *from, const char *to);

G_END_DECLS
