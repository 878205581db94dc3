/* SPDX-License-Identifier: Apache-2.0 */
/* What is left of the memory of a control group, by the files that the kernel has for it. */
#include "server/cgroup.h"

#include "tests/support/rows.h"

#include <glib/gstdio.h>
#include <stdlib.h>

typedef struct {
    const char *name;
    const char *cgroup;    /* /proc/self/cgroup */
    const char *files[16]; /* in turn path and content */
    guint64 expected;
    const char *limit_file; /* (nullable) */
} Case;

static const Case cases[] = {
    {"v2",
     "0::/a/b\n",
     {"sys/fs/cgroup/a/b/memory.max", "1000\n", "sys/fs/cgroup/a/b/memory.current", "400\n"},
     600,
     "sys/fs/cgroup/a/b/memory.max"},
    {"v2-reclaimable",
     "0::/a\n",
     {"sys/fs/cgroup/a/memory.max", "1000\n", "sys/fs/cgroup/a/memory.current", "400\n",
      "sys/fs/cgroup/a/memory.stat", "anon 1\nactive_file 7\ninactive_file 100\n"},
     700,
     "sys/fs/cgroup/a/memory.max"},
    {"v2-of-the-parent",
     "0::/a/b\n",
     {"sys/fs/cgroup/a/b/memory.max", "max\n", "sys/fs/cgroup/a/b/memory.current", "1\n",
      "sys/fs/cgroup/a/memory.max", "500\n", "sys/fs/cgroup/a/memory.current", "501\n"},
     0,
     "sys/fs/cgroup/a/memory.max"},
    {"v2-of-a-container",
     "0::/\n",
     {"sys/fs/cgroup/memory.max", "9\n", "sys/fs/cgroup/memory.current", "2\n"},
     7,
     "sys/fs/cgroup/memory.max"},
    {"v1",
     "3:cpu:/x\n4:hugetlb,memory:/g\n0::/x\n",
     {"sys/fs/cgroup/memory/g/memory.limit_in_bytes", "1000\n",
      "sys/fs/cgroup/memory/g/memory.usage_in_bytes", "400\n", "sys/fs/cgroup/memory/g/memory.stat",
      "inactive_file 5\ntotal_inactive_file 50\n"},
     650,
     "sys/fs/cgroup/memory/g/memory.limit_in_bytes"},
    {"v1-mounted-elsewhere",
     "4:memory:/outside\n",
     {"sys/fs/cgroup/memory/memory.limit_in_bytes", "30\n",
      "sys/fs/cgroup/memory/memory.usage_in_bytes", "10\n"},
     20,
     "sys/fs/cgroup/memory/memory.limit_in_bytes"},
    {"no-limit",
     "0::/a\n",
     {"sys/fs/cgroup/a/memory.max", "max\n", "sys/fs/cgroup/a/memory.current", "5\n"},
     G_MAXUINT64,
     NULL},
    {"no-memory-controller", "0::/a\n", {NULL}, G_MAXUINT64, NULL},
    {"nonsense", "0\n:\n0:\n", {NULL}, G_MAXUINT64, NULL},
};

static void put(const char *root, const char *path, const char *content)
{
    g_autofree char *file = g_build_filename(root, path, NULL);
    g_autofree char *dir = g_path_get_dirname(file);

    g_assert_cmpint(g_mkdir_with_parents(dir, 0700), ==, 0);
    g_assert_true(g_file_set_contents(file, content, -1, NULL));
}

static void test_case(gconstpointer data)
{
    const Case *c = data;
    g_autofree char *root = g_dir_make_tmp("cvd-XXXXXX", NULL);
    g_autofree char *command = g_strdup_printf("rm -r '%s'", root);
    g_autofree char *limit_file = NULL;
    g_autofree char *expected =
        c->limit_file != NULL ? g_build_filename(root, c->limit_file, NULL) : NULL;

    put(root, "proc/self/cgroup", c->cgroup);
    for (const char *const *file = c->files; *file != NULL; file += 2)
        put(root, file[0], file[1]);
    g_assert_cmpuint(cvd_cgroup_get_free_memory(root, &limit_file), ==, c->expected);
    g_assert_cmpstr(limit_file, ==, expected);
    g_assert_cmpint(system(command), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add_rows(g_test_add_data_func, "/cgroup/", cases, test_case);
    return g_test_run();
}
