/* SPDX-License-Identifier: Apache-2.0 */
/* Who may have what: the rules as a table, and what a session makes of them. */
#include "server/access.h"

#include "base/fd.h"
#include "server/access-private.h"
#include "server/server.h"
#include "server/window.h"
#include "tests/unit/child.h"
#include "tests/unit/talk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define USER  CVD_SUBJECT_USER
#define GROUP CVD_SUBJECT_GROUP
#define ALL   CVD_SUBJECT_EVERYBODY
#define NONE  CVD_ACCESS_NONE
#define RO    CVD_ACCESS_READ_ONLY
#define RW    CVD_ACCESS_READ_WRITE

static char *only_a[] = {(char *)"a", NULL};
static char *a_and_b[] = {(char *)"a", (char *)"b", NULL};
static char *no_region[] = {NULL};

static void test_rules(void)
{
    const CvdAccessRule rules[] = {
        {USER, 10, only_a, RW}, {USER, 10, NULL, RO},      {GROUP, 20, a_and_b, RW},
        {USER, 11, NULL, RW},   {USER, 13, no_region, RW}, {ALL, 0, only_a, RO},
    };
    static const struct {
        uid_t uid;
        gid_t gid;
        const char *region;
        CvdAccess access;
    } cases[] = {
        {10, 1, "a", RW},   {10, 1, "b", RO},    {10, 20, "b", RO}, /* the first that fits */
        {99, 20, "a", RW},  {99, 20, "b", RW},   {99, 20, "c", NONE},
        {11, 1, "c", RW},   {12, 1, "a", RO},    {12, 1, "b", NONE},
        {13, 1, "b", NONE}, {0, 0, "b", NONE}, /* root is nobody special */
        {12, 1, "", NONE},  {12, 1, "aa", NONE},
    };
    g_autoptr(CvdAccessRules) list = cvd_access_rules_new(rules, G_N_ELEMENTS(rules));

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_auto(CvdPeer) peer = {.uid = cases[i].uid};
        peer.gids = g_array_new(FALSE, FALSE, sizeof(gid_t));
        g_array_append_val(peer.gids, cases[i].gid);
        cvd_access_rules_match(list, &peer);
        g_assert_cmpint(cvd_access_rules_check(list, &peer, cases[i].region), ==, cases[i].access);
    }
    g_assert_true(cvd_access_rules_has(list, RO));
    g_assert_true(cvd_access_rules_is_for_others(list, 10));
}

static void assert_access(const CvdAccessRules *list, uid_t uid, const char *region,
                          CvdAccess expected)
{
    g_auto(CvdPeer) peer = {.uid = uid};

    cvd_access_rules_match(list, &peer);
    g_assert_cmpint(cvd_access_rules_check(list, &peer, region), ==, expected);
}

/* Rules for the own user and root alone open the sockets to nobody else. */
static void test_for_others(void)
{
    static const struct {
        CvdAccessRule rule;
        gboolean is_for_others; /* than user 10 */
    } cases[] = {
        {{USER, 10, NULL, RW}, FALSE}, {{USER, 0, NULL, RW}, FALSE},  {{USER, 11, NULL, RW}, TRUE},
        {{USER, 11, NULL, RO}, TRUE},  {{GROUP, 10, NULL, RW}, TRUE}, {{GROUP, 0, NULL, RW}, TRUE},
        {{ALL, 0, NULL, RW}, TRUE},    {{ALL, 10, NULL, RO}, TRUE},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        const CvdAccessRule rules[] = {{USER, 10, NULL, RW}, cases[i].rule};
        g_autoptr(CvdAccessRules) list = cvd_access_rules_new(rules, G_N_ELEMENTS(rules));
        g_assert_cmpint(cvd_access_rules_is_for_others(list, 10), ==, cases[i].is_for_others);
    }
}

static void test_default(void)
{
    g_autoptr(CvdAccessRules) list = cvd_access_rules_new_default();

    assert_access(list, geteuid(), "x", RW);
    assert_access(list, 0, "x", RW);
    assert_access(list, geteuid() + 1, "x", NONE);
    g_assert_false(cvd_access_rules_has(list, RO));
    g_assert_false(cvd_access_rules_is_for_others(list, geteuid()));
}

static void test_nobody(void)
{
    g_autoptr(CvdAccessRules) list = cvd_access_rules_new(NULL, 0);

    assert_access(list, geteuid(), "x", NONE);
}

/* As many regions as there can be, most of them named in one rule: two hundred listings of them
 * cost some hundredths of a second, and seconds if each region were looked for in each rule. */
static void test_many_names(void)
{
    enum {
        N_NAMES = 2000,
        N_LISTINGS = 200
    };
    g_autoptr(CvdLayout) layout = test_layout_new(CVD_MAX_REGIONS);
    g_auto(GStrv) names = g_new0(char *, N_NAMES + 1);
    guint n_visible = 0;

    for (guint i = 0; i < N_NAMES; i++)
        names[i] = g_strdup(layout->regions[CVD_MAX_REGIONS - 1 - i].name);
    const CvdAccessRule rules[] = {{USER, 10, names, RW}};
    g_autoptr(CvdAccessRules) list = cvd_access_rules_new(rules, 1);
    clock_t begin = clock();
    for (guint i = 0; i < N_LISTINGS; i++) {
        g_auto(CvdPeer) peer = {.uid = 10};
        cvd_access_rules_match(list, &peer);
        for (guint region = 0; region < layout->n_regions; region++)
            n_visible += cvd_access_rules_check(list, &peer, layout->regions[region].name) != NONE;
    }
    g_assert_cmpuint(n_visible, ==, N_LISTINGS * N_NAMES);
    g_assert_cmpint((clock() - begin) / CLOCKS_PER_SEC, <, 2);
}

/* Groups are asked for only where a rule needs them. */
static void test_peer(void)
{
    const CvdAccessRule with_group[] = {{GROUP, 4711, NULL, RW}};
    g_autoptr(CvdAccessRules) users = cvd_access_rules_new_default();
    g_autoptr(CvdAccessRules) groups = cvd_access_rules_new(with_group, 1);
    int pair[2];

    g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
    g_auto(CvdPeer) of_users = {0}, of_groups = {0};
    g_assert_true(cvd_access_rules_get_peer(users, pair[0], &of_users));
    g_assert_cmpuint(of_users.uid, ==, geteuid());
    g_assert_null(of_users.gids);
    g_assert_true(cvd_access_rules_get_peer(groups, pair[0], &of_groups));
    g_assert_cmpuint(g_array_index(of_groups.gids, gid_t, 0), ==, getegid());
    g_assert_cmpint((int)of_groups.gids->len, ==, 1 + getgroups(0, NULL));
    close(pair[0]);
    close(pair[1]);
}

/* ---- Sessions ---- */

typedef struct {
    TestTalk *talk;
    CvdAccessRules *rules;
    int read_only;
} Guarded;

/* Region 0 may be written, region 1 read, region 2 is hidden. */
static Guarded *talk_to_guarded(CvdDialect dialect)
{
    static char *region0[] = {(char *)"region0", NULL}, *region1[] = {(char *)"region1", NULL};
    const CvdAccessRule rules[] = {{USER, geteuid(), region0, RW}, {ALL, 0, region1, RO}};
    Guarded *g = g_new0(Guarded, 1);

    g->talk = test_talk_new(dialect, 3);
    g->rules = cvd_access_rules_new(rules, G_N_ELEMENTS(rules));
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", g->talk->window_fd);
    g->read_only = open(path, O_RDONLY | O_CLOEXEC);
    g_assert_cmpint(g->read_only, >=, 0);
    g->talk->service.served.access = g->rules;
    g->talk->service.served.read_only_window_fd = g->read_only;
    return g;
}

static void guarded_free(Guarded *g)
{
    test_talk_free(g->talk);
    cvd_access_rules_unref(g->rules);
    cvd_close_fd(&g->read_only);
    g_free(g);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Guarded, guarded_free)

static void say(Guarded *g, const char *text)
{
    test_talk_say(g->talk, text, strlen(text));
}

static void ask_for(Guarded *g, const char *name)
{
    g_autofree char *text =
        g_strdup_printf("INFORM REGION_NAME_LEN: 0x%08xGET REGION: %s", (guint)strlen(name), name);
    say(g, text);
}

/* Rung, it rings nobody, and it takes nobody's ring. */
static void assert_leads_nowhere(int dummy, int doorbell)
{
    guint64 value = 1;

    g_assert_false(test_is_doorbell(dummy, doorbell));
    g_assert_cmpint(read(dummy, &value, sizeof value), ==, sizeof value);
    g_assert_cmpint(write(doorbell, &value, sizeof value), ==, sizeof value);
    g_assert_cmpint(read(dummy, &value, sizeof value), ==, -1);
    g_assert_cmpint(errno, ==, EAGAIN);
    g_assert_cmpint(read(doorbell, &value, sizeof value), ==, sizeof value);
}

static void assert_dummy(const Guarded *g, int fd)
{
    for (guint i = 0; i < 3; i++) {
        assert_leads_nowhere(fd, cvd_doorbells_get_guest_to_host(g->talk->doorbells, i));
        assert_leads_nowhere(fd, cvd_doorbells_get_host_to_guest(g->talk->doorbells, i));
    }
}

static void test_listing(void)
{
    g_autoptr(Guarded) g = talk_to_guarded(CVD_DIALECT_TEXT);

    say(g, "GET PROTOCOL_VER");
    test_talk_hear(g->talk, "PROTOCOL_VER 0");
    say(g, "GET REGIONS");
    test_talk_hear(g->talk, "0x00000002"
                            "0x000010000x000020000x00000007region0"
                            "0x000020000x000030000x00000007region1");
    ask_for(g, "region0");
    test_talk_hear_region(g->talk, 0);
}

static void test_read_only(void)
{
    g_autoptr(Guarded) g = talk_to_guarded(CVD_DIALECT_TEXT);
    char bytes[8];

    say(g, "GET PROTOCOL_VER");
    test_talk_hear(g->talk, "PROTOCOL_VER 0");
    ask_for(g, "region1");
    test_talk_hear(g->talk, "0x000020000x00003000");
    cvd_autofd first = test_receive(NULL, g->talk->peer, bytes, 8);
    cvd_autofd second = test_receive(NULL, g->talk->peer, bytes, 8);
    cvd_autofd window = test_receive(NULL, g->talk->peer, bytes, 8);
    assert_dummy(g, first);
    assert_dummy(g, second);
    assert_leads_nowhere(first, second);
    test_assert_read_only(window);
    g_assert_cmpstr(g->talk->events->str, ==, "A(region1)");

    /* Nor do two readers meet at them. */
    ask_for(g, "region1");
    test_talk_hear(g->talk, "0x000020000x00003000");
    cvd_autofd another = test_receive(NULL, g->talk->peer, bytes, 8);
    assert_leads_nowhere(first, another);
}

static void test_denied(void)
{
    g_autoptr(Guarded) g = talk_to_guarded(CVD_DIALECT_TEXT);

    test_log_forget();
    say(g, "GET PROTOCOL_VER");
    test_talk_hear(g->talk, "PROTOCOL_VER 0");
    ask_for(g, "region2");
    test_talk_hear(g->talk, "0xffffffff");
    test_expect_end(NULL, g->talk->peer);
    g_autofree char *line = g_strdup_printf(
        "client of pid %d, uid %u asked for region \"region2\", which it may not have", getpid(),
        geteuid());
    g_autofree char *field = g_strdup_printf("CVD_CLIENT_PID=%d\n", getpid());
    g_assert_cmpuint(test_log_count(line), ==, 1);
    g_assert_cmpuint(test_log_count(field), ==, 1);
    g_assert_cmpuint(test_log_count("CVD_REGION=region2\n"), ==, 1);
}

static void test_log_lines_are_bounded(void)
{
    g_autoptr(Guarded) g = talk_to_guarded(CVD_DIALECT_TEXT);

    test_log_forget();
    for (guint i = 0; i <= CVD_LOG_LINES_PER_SECOND; i++) {
        g_autoptr(Guarded) other = talk_to_guarded(CVD_DIALECT_TEXT);
        other->talk->session.service = &g->talk->service;
        say(other, "GET PROTOCOL_VER");
        ask_for(other, "region2");
        g_assert_cmpuint(test_log_count("it may not have"), ==,
                         MIN(i + 1, CVD_LOG_LINES_PER_SECOND));
    }
}

/* Who may have nothing does not even learn how much there is. */
static void test_denied_all(void)
{
    g_autoptr(Guarded) g = talk_to_guarded(CVD_DIALECT_TEXT);
    g_autoptr(CvdAccessRules) nobody = cvd_access_rules_new(NULL, 0);

    g->talk->service.served.access = nobody;
    say(g, "GET PROTOCOL_VER");
    test_talk_hear(g->talk, "PROTOCOL_VER 0");
    say(g, "GET REGIONS");
    test_talk_hear(g->talk, "0xffffffff");
    test_expect_end(NULL, g->talk->peer);
}

static void legacy_ask(Guarded *g, const char *name)
{
    gint16 length = (gint16)strlen(name);
    guint32 version = 1;

    g_assert_cmpint(recv(g->talk->peer, &version, sizeof version, 0), ==, 4);
    g_assert_cmpuint(version, ==, 0);
    test_talk_say(g->talk, &length, sizeof length);
    test_talk_say(g->talk, name, strlen(name));
}

static void test_legacy_read_only(void)
{
    g_autoptr(Guarded) g = talk_to_guarded(CVD_DIALECT_LEGACY);
    char zeros[8];
    int fds[3];

    legacy_ask(g, "region1");
    g_assert_cmpint(cvd_socket_receive(g->talk->peer, zeros, 8, fds, 3), ==, 8);
    assert_dummy(g, fds[0]);
    assert_dummy(g, fds[1]);
    test_assert_read_only(fds[2]);
    for (guint i = 0; i < 3; i++)
        close(fds[i]);
}

static void test_legacy_denied(void)
{
    g_autoptr(Guarded) g = talk_to_guarded(CVD_DIALECT_LEGACY);

    legacy_ask(g, "region2");
    test_expect_end(NULL, g->talk->peer);
}

/* The real window, with its seals, in both backings. */
static void test_window(gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CvdLayout) layout = test_layout_new(1);
    g_autofree char *path = g_strdup_printf("/dev/shm/cvd-access-%d", getpid());
    gboolean is_named = GPOINTER_TO_INT(data);
    const CvdWindowOptions options = {
        .backing = is_named ? CVD_WINDOW_POSIX_SHM : CVD_WINDOW_MEMFD,
        .path = is_named ? path : NULL,
    };
    g_autoptr(CvdWindow) window = cvd_window_new(layout, &options, &error);
    g_assert_no_error(error);
    cvd_autofd fd = cvd_window_open_read_only(window, &error);
    g_assert_no_error(error);
    test_assert_read_only(fd);
}

static int start_without_proc(gconstpointer vm_socket)
{
    const CvdAccessRule rule = {ALL, 0, NULL, RO};
    g_autoptr(CvdAccessRules) rules = cvd_access_rules_new(&rule, 1);
    g_autoptr(CvdLayout) layout = test_layout_new(1);
    g_autoptr(CvdServer) server =
        g_object_new(CVD_TYPE_SERVER, "layout", layout, "vm-socket", vm_socket, "client-socket",
                     "/nowhere/client", "access", rules, NULL);
    g_autoptr(GError) error = NULL;

    if (!cvd_server_listen(server, &error))
        return 1;
    if (!test_mount_tmpfs("/proc", NULL))
        return TEST_CHILD_SKIPS;
    return cvd_server_start(server, &error) ||
           strstr(error->message, "an access rule lets somebody only read") == NULL ||
           strstr(error->message, "is /proc mounted?") == NULL;
}

/* The error says what needs it. */
static void test_without_proc(void)
{
    g_autofree char *dir = g_dir_make_tmp("cvd-XXXXXX", NULL);
    g_autofree char *vm_socket = g_build_filename(dir, "vm.sock", NULL);

    test_in_child(start_without_proc, vm_socket, "cannot mount anything here");
    g_assert_cmpint(rmdir(dir), ==, 0); /* the socket went, too */
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_log_capture();
    g_test_add_func("/access/rules", test_rules);
    g_test_add_func("/access/for-others", test_for_others);
    g_test_add_func("/access/default", test_default);
    g_test_add_func("/access/nobody", test_nobody);
    g_test_add_func("/access/many-names", test_many_names);
    g_test_add_func("/access/peer", test_peer);
    g_test_add_func("/access/listing", test_listing);
    g_test_add_func("/access/read-only", test_read_only);
    g_test_add_func("/access/denied", test_denied);
    g_test_add_func("/access/denied-everything", test_denied_all);
    g_test_add_func("/access/log-lines-are-bounded", test_log_lines_are_bounded);
    g_test_add_func("/access/legacy-read-only", test_legacy_read_only);
    g_test_add_func("/access/legacy-denied", test_legacy_denied);
    g_test_add_data_func("/access/memfd", GINT_TO_POINTER(FALSE), test_window);
    g_test_add_data_func("/access/posix-shm", GINT_TO_POINTER(TRUE), test_window);
    g_test_add_func("/access/without-proc", test_without_proc);
    return g_test_run();
}
