/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

/** proc_read_pss_kib: Returns: the process's memory, with its share of what it shares */
double proc_read_pss_kib(pid_t pid);
/** proc_read_switches: Returns: how often its threads were given the processor so far */
guint64 proc_read_switches(pid_t pid);
/** proc_count_huge_pages: Returns: how many free pages of 2 MiB the kernel has */
guint proc_count_huge_pages(void);

G_END_DECLS
