/* SPDX-License-Identifier: Apache-2.0 */
/* The binary dialect. Its programs do one recv a message and abort on a short one. */
#include "base/fd.h"
#include "tests/unit/talk.h"

#include <string.h>
#include <sys/socket.h>

#define REQUEST_SIZE 9

static const char request[] = "\7\0region1";

static TestTalk *talk_new(void)
{
    return test_talk_new(CVD_DIALECT_LEGACY, 3);
}

static void hear_hello(TestTalk *talk)
{
    guint32 version = ~0U;

    g_assert_cmpint(recv(talk->peer, &version, sizeof version, MSG_DONTWAIT), ==, sizeof version);
    g_assert_cmpuint(version, ==, 0);
}

static void hear_answer(TestTalk *talk, guint region)
{
    char bytes[64], zeros[8] = {0};
    int fds[3];

    g_assert_cmpint(cvd_socket_receive(talk->peer, bytes, sizeof bytes, fds, 3), ==, 8);
    g_assert_cmpmem(bytes, 8, zeros, 8);
    g_assert_true(
        test_is_doorbell(fds[0], cvd_doorbells_get_guest_to_host(talk->doorbells, region)));
    g_assert_true(
        test_is_doorbell(fds[1], cvd_doorbells_get_host_to_guest(talk->doorbells, region)));
    g_assert_true(test_is_window(fds[2], talk->window_fd));
    for (guint i = 0; i < 3; i++)
        cvd_close_fd(&fds[i]);
}

static void test_server_speaks_first(void)
{
    g_autoptr(TestTalk) talk = talk_new();

    char bytes[64];

    g_assert_cmpint(recv(talk->peer, bytes, sizeof bytes, MSG_DONTWAIT | MSG_PEEK), ==, 4);
    hear_hello(talk);
    g_assert_cmpstr(talk->events->str, ==, "");
}

static void test_split_everywhere(void)
{
    for (gsize split = 0; split <= REQUEST_SIZE; split++) {
        g_autoptr(TestTalk) talk = talk_new();
        test_talk_say(talk, request, split);
        hear_hello(talk);
        g_assert_cmpint(test_talk_say(talk, request + split, REQUEST_SIZE - split), ==,
                        CVD_SESSION_WANTS_INPUT);
        hear_answer(talk, 1);
        g_assert_cmpstr(talk->events->str, ==, "A(region1)");
        g_assert_cmpint(talk->session.deadline, ==, 0);
    }
}

static void test_cut_off_everywhere(void)
{
    for (gsize size = 0; size <= REQUEST_SIZE; size++) {
        g_autoptr(TestTalk) talk = talk_new();
        guint n_fds = test_count_fds();
        test_talk_say(talk, request, size);
        cvd_close_fd(&talk->peer);
        g_assert_cmpint(test_talk_run(talk), ==, CVD_SESSION_WANTS_NOTHING);
        g_assert_true(g_str_has_suffix(talk->events->str, "C"));
        g_assert_cmpuint(test_count_fds(), ==, n_fds - 2);
    }
}

static void test_refused(void)
{
    static const struct {
        const char *bytes;
        gsize size;
    } cases[] = {
        {"\7\0region3", 9}, {"\0\0", 2}, {"\20\0", 2}, {"\20\0abcdefghijklmnop", 18},
        {"\377\377", 2},    {"\0\1", 2}, {"\1\0", 3},  {"\7\0REGION1", 9},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(TestTalk) talk = talk_new();
        test_talk_say(talk, cases[i].bytes, cases[i].size);
        hear_hello(talk);
        test_expect_end(NULL, talk->peer);
        g_assert_cmpstr(talk->events->str, ==, "");
        cvd_close_fd(&talk->peer);
        g_assert_cmpint(test_talk_run(talk), ==, CVD_SESSION_WANTS_NOTHING);
        g_assert_cmpstr(talk->events->str, ==, "C");
    }
}

static void test_more_after_the_answer(void)
{
    g_autoptr(TestTalk) talk = talk_new();

    test_talk_say(talk, request, REQUEST_SIZE);
    hear_hello(talk);
    hear_answer(talk, 1);
    test_talk_say(talk, request, REQUEST_SIZE);
    test_expect_end(NULL, talk->peer);
}

static void test_time_limit(void)
{
    g_autoptr(TestTalk) talk = talk_new();

    test_talk_say(talk, request, REQUEST_SIZE - 1);
    g_assert_cmpint(talk->session.deadline, ==, 1000 + TEST_TIMEOUT_US);
    cvd_client_session_expire(&talk->session);
    hear_hello(talk);
    test_expect_end(NULL, talk->peer);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_log_capture();
    g_test_add_func("/legacy-session/server-speaks-first", test_server_speaks_first);
    g_test_add_func("/legacy-session/split-everywhere", test_split_everywhere);
    g_test_add_func("/legacy-session/cut-off-everywhere", test_cut_off_everywhere);
    g_test_add_func("/legacy-session/refused", test_refused);
    g_test_add_func("/legacy-session/more-after-the-answer", test_more_after_the_answer);
    g_test_add_func("/legacy-session/time-limit", test_time_limit);
    return g_test_run();
}
