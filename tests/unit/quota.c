/* SPDX-License-Identifier: Apache-2.0 */
/* Who gets a connection: each case is a sequence of letters, one user each. */
#include "server/quota.h"

#include "tests/support/rows.h"

#define OWN_UID 1000

static uid_t uid_of(char user)
{
    return user == 'o' ? OWN_UID : user == 'r' ? 0 : (uid_t)user;
}

/* @tries: o the server's own user, r root, A to Z others; in lower case one leaves */
typedef struct {
    const char *path;
    guint max;
    const char *tries;
    const char *given;
} Case;

static const Case cases[] = {
    {"own-user-gets-all", 4, "oooo o", "++++ -"},
    {"root-gets-all", 4, "rrorr", "++++-"},
    {"another-gets-half-and-one-is-kept", 9, "AAAAA BBB CC D E oo", "++++- ++- +- + - +-"},
    {"what-is-left-is-shared-again", 9, "AAAAA a A A BB", "++++- . + - ++"},
    {"what-is-reserved-is-used-by-the-own-user", 9, "ooooo AAA", "+++++ ++-"},
    {"nothing-is-left-for-others", 3, "oo AA", "++ +-"},
    {"a-single-one", 1, "A o a o", "+ - . +"},
    {"a-single-one-of-the-own-user", 1, "o A", "+ -"},
    {"two", 2, "AA o", "+- +"},
};

static void test_case(gconstpointer data)
{
    const Case *row = data;
    CvdQuota *quota = cvd_quota_new(row->max, OWN_UID);
    g_autoptr(GString) given = g_string_new(NULL);

    for (const char *user = row->tries; *user != '\0'; user++) {
        if (*user == ' ') {
            g_string_append_c(given, ' ');
        } else if (*user == 'a') {
            cvd_quota_release(quota, uid_of('A'));
            g_string_append_c(given, '.');
        } else {
            g_string_append_c(given, cvd_quota_take(quota, uid_of(*user)) ? '+' : '-');
        }
    }
    g_assert_cmpstr(given->str, ==, row->given);
    cvd_quota_free(quota);
}

/* Whatever others do, the own user has its eighth, and nothing is counted wrong. */
static void test_many_users(void)
{
    CvdQuota *quota = cvd_quota_new(1024, OWN_UID);
    guint taken[1000] = {0}, n_own = 0;

    for (guint round = 0; round < 1024; round++)
        for (guint i = 0; i < G_N_ELEMENTS(taken); i++)
            taken[i] += cvd_quota_take(quota, 2000 + i);
    g_assert_false(cvd_quota_is_full(quota));
    while (cvd_quota_take(quota, OWN_UID))
        n_own++;
    g_assert_cmpuint(n_own, ==, 128);
    g_assert_true(cvd_quota_is_full(quota));
    for (guint i = 0; i < G_N_ELEMENTS(taken); i++)
        for (; taken[i] > 0; taken[i]--)
            cvd_quota_release(quota, 2000 + i);
    for (; n_own > 0; n_own--)
        cvd_quota_release(quota, OWN_UID);
    while (cvd_quota_take(quota, OWN_UID))
        n_own++;
    g_assert_cmpuint(n_own, ==, 1024);
    cvd_quota_free(quota);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_add_rows(g_test_add_data_func, "/quota/", cases, test_case);
    g_test_add_func("/quota/many-users", test_many_users);
    return g_test_run();
}
