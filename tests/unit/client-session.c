/* SPDX-License-Identifier: Apache-2.0 */
/* Conversations over a socketpair, split at every place and cut off at every place. */
#include "base/fd.h"
#include "tests/unit/talk.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HELLO     "GET PROTOCOL_VER"
#define LENGTH(d) "INFORM REGION_NAME_LEN: 0x" d
#define LONG_FORM HELLO LENGTH("00000007") "GET REGION: region1"
#define BARE_FORM HELLO LENGTH("00000007") "region1"
#define BY_HAND   "\n" HELLO "\r\n" LENGTH("00000007") "\n\nGET REGION: region1\n"
#define N_REGIONS 3

static TestTalk *talk_new(void)
{
    return test_talk_new(CVD_DIALECT_TEXT, N_REGIONS);
}

static CvdSessionWants say(TestTalk *talk, const char *text)
{
    return test_talk_say(talk, text, strlen(text));
}

static void test_small(void)
{
    g_assert_cmpuint(sizeof(CvdClientSession), <, 200);
}

static const char *const conversations[] = {LONG_FORM, BARE_FORM, BY_HAND};

static void test_split_everywhere(gconstpointer data)
{
    const char *conversation = data;
    gsize size = strlen(conversation);

    for (gsize split = 0; split <= size; split++) {
        g_autoptr(TestTalk) talk = talk_new();
        test_talk_say(talk, conversation, split);
        g_assert_cmpint(test_talk_say(talk, conversation + split, size - split), ==,
                        CVD_SESSION_WANTS_INPUT);
        test_talk_hear(talk, "PROTOCOL_VER 0");
        test_talk_hear_region(talk, 1);
        g_assert_cmpstr(talk->events->str, ==, "A(region1)");
        g_assert_cmpint(talk->session.deadline, ==, 0);
    }
}

static void test_byte_by_byte(gconstpointer data)
{
    g_autoptr(TestTalk) talk = talk_new();

    for (const char *p = data; *p != '\0'; p++)
        g_assert_cmpint(test_talk_say(talk, p, 1), ==, CVD_SESSION_WANTS_INPUT);
    test_talk_hear(talk, "PROTOCOL_VER 0");
    test_talk_hear_region(talk, 1);
}

static void test_cut_off_everywhere(gconstpointer data)
{
    const char *conversation = data;

    for (gsize size = 0; size <= strlen(conversation); size++) {
        g_autoptr(TestTalk) talk = talk_new();
        guint n_fds = test_count_fds();
        test_talk_say(talk, conversation, size);
        cvd_close_fd(&talk->peer);
        g_assert_cmpint(test_talk_run(talk), ==, CVD_SESSION_WANTS_NOTHING);
        g_assert_true(g_str_has_suffix(talk->events->str, "C"));
        g_assert_cmpuint(test_count_fds(), ==, n_fds - 2);
    }
}

/* As a client does that has asked for everything and says that this was all. */
static void test_half_closed(void)
{
    g_autoptr(TestTalk) talk = talk_new();

    test_send(talk->peer, LONG_FORM, strlen(LONG_FORM), -1);
    shutdown(talk->peer, SHUT_WR);
    while (cvd_client_session_run(&talk->session, talk->now_us) != CVD_SESSION_WANTS_NOTHING)
        ;
    test_talk_hear(talk, "PROTOCOL_VER 0");
    test_talk_hear_region(talk, 1);
    test_expect_end(NULL, talk->peer);
    g_assert_cmpstr(talk->events->str, ==, "A(region1)C");
}

static void test_version_reply(void)
{
    g_autoptr(TestTalk) talk = talk_new();

    talk->service.served.version_reply = "0x00000000";
    say(talk, LONG_FORM);
    test_talk_hear(talk, "0x00000000");
    test_talk_hear_region(talk, 1);
}

static void test_one_by_one(void)
{
    g_autoptr(TestTalk) talk = talk_new();

    say(talk, HELLO);
    test_talk_hear(talk, "PROTOCOL_VER 0");
    say(talk, LENGTH("00000007"));
    say(talk, "GET REGION: region2");
    test_talk_hear_region(talk, 2);
}

static void test_another_request(void)
{
    g_autoptr(TestTalk) talk = talk_new();

    say(talk, LONG_FORM);
    test_talk_hear(talk, "PROTOCOL_VER 0");
    test_talk_hear_region(talk, 1);
    say(talk, LENGTH("00000007") "region0");
    test_talk_hear_region(talk, 0);
    g_assert_cmpstr(talk->events->str, ==, "A(region1)A(region0)");
}

static void test_requests_sent_at_once(void)
{
    g_autoptr(TestTalk) talk = talk_new();

    say(talk, LONG_FORM LENGTH("00000007") "region0GET REGIONS" LENGTH("00000007") "region2");
    while (cvd_client_session_run(&talk->session, talk->now_us) == CVD_SESSION_WANTS_OUTPUT)
        ;
    test_talk_hear(talk, "PROTOCOL_VER 0");
    test_talk_hear_region(talk, 1);
    test_talk_hear_region(talk, 0);
    test_talk_hear(talk, "0x00000003"
                         "0x000010000x000020000x00000007region0"
                         "0x000020000x000030000x00000007region1"
                         "0x000030000x000040000x00000007region2");
    test_talk_hear_region(talk, 2);
}

/* The answer is there although more input follows, and the stream ends without a reset. */
static void unknown(const char *conversation)
{
    g_autoptr(TestTalk) talk = talk_new();

    g_assert_cmpint(say(talk, conversation), ==, CVD_SESSION_WANTS_INPUT);
    test_talk_hear(talk, "PROTOCOL_VER 0");
    test_talk_hear(talk, "0xffffffff");
    test_expect_end(NULL, talk->peer);
    g_assert_cmpstr(talk->events->str, ==, "");

    g_assert_cmpint(say(talk, "whatever it says now is discarded"), ==, CVD_SESSION_WANTS_INPUT);
    test_expect_end(NULL, talk->peer);
    cvd_close_fd(&talk->peer);
    g_assert_cmpint(test_talk_run(talk), ==, CVD_SESSION_WANTS_NOTHING);
    g_assert_cmpstr(talk->events->str, ==, "C");
}

static void test_unknown(void)
{
    static const char *const cases[] = {
        HELLO LENGTH("00000007") "region3",
        HELLO LENGTH("00000007") "GET REGION: Region1",
        HELLO LENGTH("00000006") "region1",
        HELLO LENGTH("00000001") "/",
        HELLO LENGTH("00000003") "a b",
        HELLO LENGTH("00000000"),
        HELLO LENGTH("00000010"),
        HELLO LENGTH("00000010") "0123456789abcdef",
        HELLO LENGTH("ffffffff") "GET REGION: region1",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
        unknown(cases[i]);
}

static void test_name_with_nul(void)
{
    g_autoptr(TestTalk) talk = talk_new();

    say(talk, HELLO LENGTH("00000008"));
    test_talk_say(talk, "region1", 8);
    test_talk_hear(talk, "PROTOCOL_VER 00xffffffff");
    test_expect_end(NULL, talk->peer);
}

static void test_lingering_has_a_limit(void)
{
    g_autoptr(TestTalk) talk = talk_new();
    gint64 deadline = talk->session.deadline;

    say(talk, HELLO LENGTH("00000007") "region3");
    g_assert_cmpint(talk->session.deadline, ==, deadline);
    say(talk, "more");
    g_assert_cmpint(talk->session.deadline, ==, deadline);
    cvd_client_session_expire(&talk->session);
    g_assert_cmpstr(talk->events->str, ==, "C");
    test_talk_hear(talk, "PROTOCOL_VER 00xffffffff");
    test_expect_end(NULL, talk->peer);
}

/* Before any answer nothing can be lost: closed at once, yet without a reset. */
static void test_malformed_at_first(void)
{
    static const char *const cases[] = {"x", "GET protocol_ver", LENGTH("00000007"), "\t", HELLO};

    for (gsize i = 0; i < G_N_ELEMENTS(cases) - 1; i++) {
        g_autoptr(TestTalk) talk = talk_new();
        test_log_forget();
        g_assert_cmpint(say(talk, cases[i]), ==, CVD_SESSION_WANTS_NOTHING);
        test_expect_end(NULL, talk->peer);
        g_assert_cmpstr(talk->events->str, ==, "C");
        g_assert_cmpuint(test_log_count("expected `GET PROTOCOL_VER`, got \""), ==, 1);
    }
}

static void test_malformed_flood_at_first(void)
{
    g_autoptr(TestTalk) talk = talk_new();
    char flood[8192];

    memset(flood, 'x', sizeof flood);
    g_assert_cmpint(test_talk_say(talk, flood, sizeof flood), ==, CVD_SESSION_WANTS_NOTHING);
    test_expect_end(NULL, talk->peer);
}

static void test_malformed_after_an_answer(void)
{
    static const char *const cases[] = {
        HELLO "x",
        HELLO HELLO,
        HELLO "GET REGION: region1",
        HELLO LENGTH("0000000x"),
        HELLO LENGTH("00000007") "GET region1",
        HELLO LENGTH("00000007") "GET REGIONS",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(TestTalk) talk = talk_new();
        test_log_forget();
        g_assert_cmpint(say(talk, cases[i]), ==, CVD_SESSION_WANTS_INPUT);
        say(talk, "and more");
        test_talk_hear(talk, "PROTOCOL_VER 0");
        test_expect_end(NULL, talk->peer);
        g_assert_cmpuint(test_log_count("expected "), ==, 1);
        cvd_close_fd(&talk->peer);
        g_assert_cmpint(test_talk_run(talk), ==, CVD_SESSION_WANTS_NOTHING);
    }
}

static void test_malformed_after_attaching(void)
{
    g_autoptr(TestTalk) talk = talk_new();

    say(talk, LONG_FORM);
    say(talk, HELLO);
    test_talk_hear(talk, "PROTOCOL_VER 0");
    test_talk_hear_region(talk, 1);
    test_expect_end(NULL, talk->peer);
    g_assert_cmpint(talk->session.deadline, >, 0);
}

static void test_log_lines_are_bounded(void)
{
    g_autoptr(TestTalk) talk = talk_new();
    guint n_lines;

    test_log_forget();
    for (guint i = 0; i <= CVD_LOG_LINES_PER_SECOND; i++) {
        g_autoptr(TestTalk) other = talk_new();
        other->session.service = &talk->service;
        talk->events->len = 0;
        say(other, "bad");
        n_lines = test_log_count("expected");
        g_assert_cmpuint(n_lines, ==, MIN(i + 1, CVD_LOG_LINES_PER_SECOND));
    }
}

static void test_time_limits(void)
{
    g_autoptr(TestTalk) talk = talk_new();
    gint64 first = 1000 + TEST_TIMEOUT_US;

    g_assert_cmpint(talk->session.deadline, ==, first);
    talk->now_us = 2000;
    say(talk, HELLO LENGTH("00000007"));
    g_assert_cmpint(talk->session.deadline, ==, first);
    say(talk, "region1");
    g_assert_cmpint(talk->session.deadline, ==, 0);

    talk->now_us = 3000;
    say(talk, " \r\n ");
    g_assert_cmpint(talk->session.deadline, ==, 0);
    talk->now_us = 4000;
    say(talk, "I");
    g_assert_cmpint(talk->session.deadline, ==, 4000 + TEST_TIMEOUT_US);
    talk->now_us = 5000;
    say(talk, "NFORM");
    g_assert_cmpint(talk->session.deadline, ==, 4000 + TEST_TIMEOUT_US);
    cvd_client_session_expire(&talk->session);
    test_talk_hear(talk, "PROTOCOL_VER 0");
    test_talk_hear_region(talk, 1);
    test_expect_end(NULL, talk->peer);
    g_assert_cmpstr(talk->events->str, ==, "A(region1)C");
}

static void test_time_limit_starts_anew_for_a_request_in_the_same_read(void)
{
    g_autoptr(TestTalk) talk = talk_new();

    say(talk, HELLO LENGTH("00000007"));
    talk->now_us = 7000;
    say(talk, "region1INFORM");
    g_assert_cmpint(talk->session.deadline, ==, 7000 + TEST_TIMEOUT_US);
}

/* All regions there can be, to a client whose socket takes little at a time. */
static void test_long_listing(void)
{
    g_autoptr(TestTalk) talk = test_talk_new(CVD_DIALECT_TEXT, CVD_MAX_REGIONS);
    g_autoptr(GString) expected = g_string_new("PROTOCOL_VER 00x00000800");
    g_autofree char *heard = NULL;
    int little = 1;

    for (guint i = 0; i < CVD_MAX_REGIONS; i++) {
        const CvdLayoutRegion *r = &talk->layout->regions[i];
        g_string_append_printf(expected, "0x%08x0x%08x0x%08xregion%u", r->begin, r->end,
                               (guint)strlen(r->name), i);
    }
    setsockopt(talk->session.fd, SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
    g_assert_cmpint(say(talk, HELLO "GET REGIONS"), ==, CVD_SESSION_WANTS_OUTPUT);

    heard = g_malloc0(expected->len + 1);
    guint n_runs = 0;
    for (gsize n = 0; n < expected->len;) {
        /* In pieces of an odd size, so that they end anywhere. */
        gssize more = recv(talk->peer, heard + n, MIN(expected->len - n, 701), MSG_DONTWAIT);
        if (more > 0) {
            n += (gsize)more;
        } else {
            g_assert_cmpint(errno, ==, EAGAIN);
            cvd_client_session_run(&talk->session, talk->now_us);
            n_runs++;
        }
    }
    g_assert_cmpstr(heard, ==, expected->str);
    g_assert_cmpuint(n_runs, >, 10);

    g_assert_cmpint(say(talk, LENGTH("0000000a") "region2047"), ==, CVD_SESSION_WANTS_INPUT);
    test_talk_hear_region(talk, 2047);
}

/* Asks for ever and never reads: the session stops reading, and the time limit runs. */
static void test_client_that_never_reads(void)
{
    g_autoptr(TestTalk) talk = test_talk_new(CVD_DIALECT_TEXT, CVD_MAX_REGIONS);
    CvdSessionWants wants = say(talk, HELLO);
    guint n_stuck = 0;

    for (guint i = 0; i < 2000 && n_stuck < 3; i++) {
        send(talk->peer, "GET REGIONS", 11, MSG_DONTWAIT);
        gsize before = talk->session.sent + ((gsize)talk->session.list_item << 16);
        wants = cvd_client_session_run(&talk->session, talk->now_us);
        gsize after = talk->session.sent + ((gsize)talk->session.list_item << 16);
        n_stuck = before == after && wants == CVD_SESSION_WANTS_OUTPUT ? n_stuck + 1 : 0;
    }
    g_assert_cmpuint(n_stuck, ==, 3);
    g_assert_cmpint(talk->session.deadline, ==, talk->now_us + TEST_TIMEOUT_US);
    cvd_client_session_expire(&talk->session);
    g_assert_cmpstr(talk->events->str, ==, "C");
}

/* Every place in the answer at which the client's socket may be full. */
static void test_full_socket_anywhere_in_the_answer(void)
{
    for (guint n_fill = 0; n_fill < 6; n_fill++) {
        g_autoptr(TestTalk) talk = talk_new();
        int little = 1, n_filled = 0;
        char junk[4096];

        setsockopt(talk->session.fd, SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
        say(talk, HELLO LENGTH("00000007"));
        while (send(talk->session.fd, "j", 1, MSG_DONTWAIT) == 1)
            n_filled++;
        g_assert_cmpint(say(talk, "region1"), ==, CVD_SESSION_WANTS_OUTPUT);
        test_talk_hear(talk, "PROTOCOL_VER 0");
        for (guint i = 0; i < n_fill && n_filled > 0; i++, n_filled--) {
            g_assert_cmpint(recv(talk->peer, junk, 1, MSG_DONTWAIT), ==, 1);
            cvd_client_session_run(&talk->session, talk->now_us);
        }
        while (n_filled > 0)
            n_filled -= (int)recv(talk->peer, junk, (gsize)MIN(n_filled, 4096), MSG_DONTWAIT);
        cvd_client_session_run(&talk->session, talk->now_us);
        test_talk_hear_region(talk, 1);
        g_assert_cmpint(talk->session.wants, ==, CVD_SESSION_WANTS_INPUT);
    }
}

static void test_descriptors_sent_to_us_are_closed(void)
{
    g_autoptr(TestTalk) talk = talk_new();
    guint n_fds = test_count_fds();

    for (const char *p = HELLO LENGTH("00000007"); *p != '\0'; p++) {
        test_send(talk->peer, p, 1, talk->window_fd);
        test_talk_run(talk);
        g_assert_cmpuint(test_count_fds(), ==, n_fds);
    }
    say(talk, "region1");
    test_talk_hear(talk, "PROTOCOL_VER 0");
    test_talk_hear_region(talk, 1);

    say(talk, LENGTH("00000001") "?");
    test_send(talk->peer, "x", 1, talk->window_fd); /* while it lingers */
    test_talk_run(talk);
    g_assert_cmpuint(test_count_fds(), ==, n_fds);
}

/* The client dies while the answer waits for room: no signal, one close. */
static void test_client_dies_in_the_answer(void)
{
    g_autoptr(TestTalk) talk = talk_new();
    int little = 1;

    setsockopt(talk->session.fd, SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
    say(talk, HELLO LENGTH("00000007"));
    while (send(talk->session.fd, "j", 1, MSG_DONTWAIT) == 1)
        ;
    g_assert_cmpint(say(talk, "region1"), ==, CVD_SESSION_WANTS_OUTPUT);
    cvd_close_fd(&talk->peer);
    g_assert_cmpint(test_talk_run(talk), ==, CVD_SESSION_WANTS_NOTHING);
    g_assert_cmpstr(talk->events->str, ==, "C");
    cvd_client_session_close(&talk->session);
    g_assert_cmpstr(talk->events->str, ==, "C");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_log_capture();
    g_test_add_func("/client-session/small", test_small);
    for (gsize i = 0; i < G_N_ELEMENTS(conversations); i++) {
        static const char *const names[] = {"long-form", "bare-name", "by-hand"};
        g_autofree char *split = g_strdup_printf("/client-session/%s/split-everywhere", names[i]);
        g_autofree char *bytes = g_strdup_printf("/client-session/%s/byte-by-byte", names[i]);
        g_autofree char *cut = g_strdup_printf("/client-session/%s/cut-off-everywhere", names[i]);
        g_test_add_data_func(split, conversations[i], test_split_everywhere);
        g_test_add_data_func(bytes, conversations[i], test_byte_by_byte);
        g_test_add_data_func(cut, conversations[i], test_cut_off_everywhere);
    }
    g_test_add_func("/client-session/half-closed", test_half_closed);
    g_test_add_func("/client-session/version-reply", test_version_reply);
    g_test_add_func("/client-session/one-by-one", test_one_by_one);
    g_test_add_func("/client-session/another-request", test_another_request);
    g_test_add_func("/client-session/requests-sent-at-once", test_requests_sent_at_once);
    g_test_add_func("/client-session/unknown", test_unknown);
    g_test_add_func("/client-session/name-with-nul", test_name_with_nul);
    g_test_add_func("/client-session/lingering-has-a-limit", test_lingering_has_a_limit);
    g_test_add_func("/client-session/malformed/at-first", test_malformed_at_first);
    g_test_add_func("/client-session/malformed/flood-at-first", test_malformed_flood_at_first);
    g_test_add_func("/client-session/malformed/after-an-answer", test_malformed_after_an_answer);
    g_test_add_func("/client-session/malformed/after-attaching", test_malformed_after_attaching);
    g_test_add_func("/client-session/malformed/log-lines-are-bounded", test_log_lines_are_bounded);
    g_test_add_func("/client-session/time-limits", test_time_limits);
    g_test_add_func("/client-session/time-limit-starts-anew-in-the-same-read",
                    test_time_limit_starts_anew_for_a_request_in_the_same_read);
    g_test_add_func("/client-session/long-listing", test_long_listing);
    g_test_add_func("/client-session/client-that-never-reads", test_client_that_never_reads);
    g_test_add_func("/client-session/full-socket-anywhere-in-the-answer",
                    test_full_socket_anywhere_in_the_answer);
    g_test_add_func("/client-session/descriptors-sent-to-us-are-closed",
                    test_descriptors_sent_to_us_are_closed);
    g_test_add_func("/client-session/client-dies-in-the-answer", test_client_dies_in_the_answer);
    return g_test_run();
}
