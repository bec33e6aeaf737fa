/*
 * renew.h: workers that are replaced without a word from anybody: since they
 * use too much memory, have served long enough, or it is time to
 * (cron_restart), or files have changed (watch).
 *
 * Looked at once a second, while an application has such a key and only then.
 */
#ifndef MUSTER_FLEET_RENEW_H
#define MUSTER_FLEET_RENEW_H

struct app;
struct fleet;

/* Begins and ends what the configurations in force call for. Call it when
 * something has changed. */
void renew_arm(struct fleet *fleet);

/* Ends what there is of an application, or all. */
void renew_forget(struct app *app);
void renew_end(struct fleet *fleet);

#endif
