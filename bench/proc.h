/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

/** proc_read_pss_kib: Returns: the process's memory, with its share of what it shares */
double proc_read_pss_kib(pid_t pid);
/** proc_read_rollup_kib: Returns: a sum over all of its memory, by the name in smaps_rollup: `Pss`
 */
double proc_read_rollup_kib(pid_t pid, const char *field);
/** proc_read_file_kib: Returns: the same of what it maps of files at paths that end so */
double proc_read_file_kib(pid_t pid, const char *suffix, const char *field);
/** proc_read_cpu_ms: Returns: the processor time that its threads have had so far */
double proc_read_cpu_ms(pid_t pid);
/** proc_read_switches: Returns: how often its threads were given the processor so far */
guint64 proc_read_switches(pid_t pid);
/** proc_count_huge_pages: Returns: how many free pages of 2 MiB the kernel has */
guint proc_count_huge_pages(void);

G_END_DECLS
