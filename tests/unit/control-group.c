/* SPDX-License-Identifier: Apache-2.0 */
/* Where a process's control group is. What is made there is tested where it can be:
 * tests/support/control-group-guest.c. */
#include "launcher/control-group.h"
#include "tests/support/rows.h"

#define V1 "31 23 0:28 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
#define V2 "41 31 0:38 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"

typedef struct {
    const char *title;
    const char *mountinfo;
    const char *cgroup;
    const char *dir;
} Row;

static const Row rows[] = {
    {"version-2", V2, "0::/user.slice/a.scope\n", "/sys/fs/cgroup/user.slice/a.scope"},
    {"root", V2, "0::/\n", "/sys/fs/cgroup"},
    {"both-versions", V1 "42 31 0:39 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
     "4:memory:/m\n1:name=systemd:/s\n0::/u\n", "/sys/fs/cgroup/unified/u"},
    {"version-1", V1, "4:memory:/m\n", NULL},
    {"not-mounted", V1, "4:memory:/m\n0::/\n", NULL},
    {"part-of-it", "41 31 0:38 /docker/1 /sys/fs/cgroup rw - cgroup2 cgroup rw\n",
     "0::/docker/1/vm\n", "/sys/fs/cgroup/vm"},
    {"part-as-a-whole", "41 31 0:38 /docker/1 /sys/fs/cgroup rw - cgroup2 cgroup rw\n",
     "0::/docker/1\n", "/sys/fs/cgroup"},
    {"another-part", "41 31 0:38 /docker/1 /sys/fs/cgroup rw - cgroup2 cgroup rw\n",
     "0::/docker/12\n", NULL},
    {"outside-of-the-namespace", V2, "0::/../other\n", NULL},
    {"spaces", "41 31 0:38 / /my\\040groups rw - cgroup2 cgroup rw\n", "0::/a b\n",
     "/my groups/a b"},
    {"nothing", "", "", NULL},
    {"garbage", "1 2 3\n\n- cgroup2\n", "0:\n0::\n::/\n", NULL},
};

static void test_row(gconstpointer data)
{
    const Row *row = data;
    g_autofree char *dir = cvd_control_group_find(row->mountinfo, row->cgroup);

    g_assert_cmpstr(dir, ==, row->dir);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add_rows(g_test_add_data_func, "/control-group/", rows, test_row);
    return g_test_run();
}
