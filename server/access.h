/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib-object.h>
#include <sys/types.h>

G_BEGIN_DECLS

/**
 * CvdAccess:
 * @CVD_ACCESS_NONE: to the client the region does not exist
 * @CVD_ACCESS_READ_ONLY: a descriptor of the window that cannot be mapped writable, and dummies in
 *   place of both doorbells
 * @CVD_ACCESS_READ_WRITE: the window and both doorbells
 *
 * What a client may do with a region.
 */
typedef enum {
    CVD_ACCESS_NONE,
    CVD_ACCESS_READ_ONLY,
    CVD_ACCESS_READ_WRITE,
} CvdAccess;

/**
 * CvdSubject:
 * @CVD_SUBJECT_USER: a user
 * @CVD_SUBJECT_GROUP: a group
 * @CVD_SUBJECT_EVERYBODY: everybody
 *
 * Whom a rule is for.
 */
typedef enum {
    CVD_SUBJECT_USER,
    CVD_SUBJECT_GROUP,
    CVD_SUBJECT_EVERYBODY,
} CvdSubject;

/**
 * CvdAccessRule:
 * @subject: whom it is for
 * @id: uid or gid
 * @regions: (array zero-terminated=1) (nullable): names of regions; %NULL: all
 * @access: what they may
 *
 * One rule. A group rule is for a process that has the group among its effective or supplementary
 * ones. uid 0 is a user like any other here.
 */
typedef struct {
    CvdSubject subject;
    guint32 id;
    char **regions;
    CvdAccess access;
} CvdAccessRule;

/**
 * CvdAccessRules:
 *
 * An immutable list of rules; of those that are for a client and a region the first counts, and
 * without one the client may nothing.
 */
typedef struct CvdAccessRules CvdAccessRules;

#define CVD_TYPE_ACCESS_RULES (cvd_access_rules_get_type())
GType cvd_access_rules_get_type(void);

/**
 * cvd_access_rules_new: (skip)
 * @rules: (array length=n_rules): copied
 * @n_rules: how many
 *
 * Returns: (transfer full): the list
 */
CvdAccessRules *cvd_access_rules_new(const CvdAccessRule *rules, guint n_rules);

/**
 * cvd_access_rules_new_default:
 *
 * Returns: (transfer full): this process's effective uid and uid 0 may everything
 */
CvdAccessRules *cvd_access_rules_new_default(void);

/**
 * cvd_access_rules_ref:
 * @rules: a list
 *
 * Takes a reference.
 *
 * Returns: (transfer full): @rules
 */
CvdAccessRules *cvd_access_rules_ref(CvdAccessRules *rules);
/**
 * cvd_access_rules_unref:
 * @rules: a list
 *
 * Gives a reference back.
 */
void cvd_access_rules_unref(CvdAccessRules *rules);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CvdAccessRules, cvd_access_rules_unref)

/**
 * cvd_access_rules_get: (skip)
 * @rules: a list
 * @n_rules: (out): how many
 *
 * Returns: (transfer none) (array length=n_rules): the rules, in order
 */
const CvdAccessRule *cvd_access_rules_get(const CvdAccessRules *rules, guint *n_rules);

/**
 * cvd_access_rules_has:
 * @rules: a list
 * @access: what is looked for
 *
 * Returns: whether any rule gives just that
 */
gboolean cvd_access_rules_has(const CvdAccessRules *rules, CvdAccess access);

/**
 * cvd_access_rules_is_for_others:
 * @rules: a list
 * @uid: a user
 *
 * Returns: whether any rule is for others than @uid and uid 0
 */
gboolean cvd_access_rules_is_for_others(const CvdAccessRules *rules, uid_t uid);

G_END_DECLS
