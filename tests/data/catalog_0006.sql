BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0006');
CREATE TABLE associations (
	id VARCHAR(64) NOT NULL, 
	called_ae VARCHAR(16) NOT NULL, 
	calling_ae VARCHAR(16) NOT NULL, 
	peer VARCHAR(64) NOT NULL, 
	opened_at DATETIME NOT NULL, 
	closed_at DATETIME, 
	outcome VARCHAR(16), claimed_until DATETIME, 
	PRIMARY KEY (id)
);
CREATE TABLE conflicts (
	series_id INTEGER NOT NULL, 
	sop_instance_uid VARCHAR(64) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	fresh BOOLEAN NOT NULL, 
	confirmed BOOLEAN NOT NULL, 
	PRIMARY KEY (series_id, sop_instance_uid, digest), 
	FOREIGN KEY(series_id) REFERENCES series (id) ON DELETE CASCADE
);
CREATE TABLE deliveries (
	id INTEGER NOT NULL, 
	job_id INTEGER NOT NULL, 
	destination VARCHAR(64) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	attempts INTEGER NOT NULL, 
	not_before DATETIME, 
	worker VARCHAR(128), 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	finished_at DATETIME, 
	reason_code VARCHAR(64), 
	reason_sentence TEXT, 
	reason_remedy TEXT, claimed_until DATETIME, 
	PRIMARY KEY (id), 
	CONSTRAINT uq_deliveries_job_destination UNIQUE (job_id, destination), 
	FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
INSERT INTO "deliveries" VALUES(1,1,'pacs','done',1,NULL,NULL,'2026-01-01 12:00:20.000000','2026-01-01 12:00:20.000000','2026-01-01 12:00:20.000000',NULL,NULL,NULL,NULL);
INSERT INTO "deliveries" VALUES(2,2,'pacs','pending',0,NULL,NULL,'2026-01-01 12:00:40.000000','2026-01-01 12:00:40.000000',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "deliveries" VALUES(3,2,'archive','pending',0,NULL,NULL,'2026-01-01 12:00:40.000000','2026-01-01 12:00:40.000000',NULL,NULL,NULL,NULL,NULL);
CREATE TABLE delivery_instances (
	delivery_id INTEGER NOT NULL, 
	sop_instance_uid VARCHAR(64) NOT NULL, 
	status INTEGER, 
	comment VARCHAR(256) NOT NULL, 
	updated_at DATETIME, verdict VARCHAR(16), 
	PRIMARY KEY (delivery_id, sop_instance_uid), 
	FOREIGN KEY(delivery_id) REFERENCES deliveries (id) ON DELETE CASCADE
);
INSERT INTO "delivery_instances" VALUES(1,'2.25.0',0,'','2026-01-01 12:00:20.000000','accepted');
INSERT INTO "delivery_instances" VALUES(1,'2.25.1',0,'','2026-01-01 12:00:20.000000','accepted');
INSERT INTO "delivery_instances" VALUES(1,'2.25.2',0,'','2026-01-01 12:00:20.000000','accepted');
INSERT INTO "delivery_instances" VALUES(2,'2.25.2.0',NULL,'',NULL,NULL);
INSERT INTO "delivery_instances" VALUES(2,'2.25.2.1',NULL,'',NULL,NULL);
INSERT INTO "delivery_instances" VALUES(2,'2.25.2.2',NULL,'',NULL,NULL);
INSERT INTO "delivery_instances" VALUES(2,'2.25.2.3',NULL,'',NULL,NULL);
INSERT INTO "delivery_instances" VALUES(2,'2.25.2.9.1',NULL,'',NULL,NULL);
INSERT INTO "delivery_instances" VALUES(3,'2.25.2.0',NULL,'',NULL,NULL);
INSERT INTO "delivery_instances" VALUES(3,'2.25.2.1',NULL,'',NULL,NULL);
INSERT INTO "delivery_instances" VALUES(3,'2.25.2.2',NULL,'',NULL,NULL);
INSERT INTO "delivery_instances" VALUES(3,'2.25.2.3',NULL,'',NULL,NULL);
CREATE TABLE derived_instances (
	job_id INTEGER NOT NULL, 
	sop_instance_uid VARCHAR(64) NOT NULL, 
	sop_class_uid VARCHAR(64) NOT NULL, 
	path TEXT, 
	ordinal INTEGER NOT NULL, rejects_job INTEGER, 
	PRIMARY KEY (job_id, sop_instance_uid), 
	FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
INSERT INTO "derived_instances" VALUES(1,'2.25.0','1','/d/0',0,NULL);
INSERT INTO "derived_instances" VALUES(1,'2.25.1','1','/d/1',1,NULL);
INSERT INTO "derived_instances" VALUES(1,'2.25.2','1','/d/2',2,NULL);
INSERT INTO "derived_instances" VALUES(2,'2.25.2.0','1','/n/0',0,NULL);
INSERT INTO "derived_instances" VALUES(2,'2.25.2.1','1','/n/1',1,NULL);
INSERT INTO "derived_instances" VALUES(2,'2.25.2.2','1','/n/2',2,NULL);
INSERT INTO "derived_instances" VALUES(2,'2.25.2.3','1','/n/3',3,NULL);
INSERT INTO "derived_instances" VALUES(2,'2.25.2.9.1','ko','/n/ko',4,1);
CREATE TABLE instances (
	id INTEGER NOT NULL, 
	series_id INTEGER NOT NULL, 
	sop_instance_uid VARCHAR(64) NOT NULL, 
	sop_class_uid VARCHAR(64) NOT NULL, 
	transfer_syntax_uid VARCHAR(64) NOT NULL, 
	path TEXT, 
	digest VARCHAR(64) NOT NULL, 
	size BIGINT NOT NULL, 
	received_at DATETIME NOT NULL, 
	calling_ae VARCHAR(16) NOT NULL, 
	peer VARCHAR(64) NOT NULL, 
	association_id VARCHAR(64), 
	PRIMARY KEY (id), 
	CONSTRAINT uq_instances_series_sop UNIQUE (series_id, sop_instance_uid), 
	FOREIGN KEY(series_id) REFERENCES series (id) ON DELETE CASCADE
);
INSERT INTO "instances" VALUES(1,1,'1.2.3.0','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','/spool/0.dcm','d0',100,'2026-01-01 12:00:00.000000','PACS','127.0.0.1',NULL);
INSERT INTO "instances" VALUES(2,1,'1.2.3.1','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','/spool/1.dcm','d1',100,'2026-01-01 12:00:00.000000','PACS','127.0.0.1',NULL);
INSERT INTO "instances" VALUES(3,1,'1.2.3.2','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','/spool/2.dcm','d2',100,'2026-01-01 12:00:00.000000','PACS','127.0.0.1',NULL);
INSERT INTO "instances" VALUES(4,1,'1.2.3.3','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','/spool/3.dcm','d3',100,'2026-01-01 12:00:20.000000','PACS','127.0.0.1',NULL);
CREATE TABLE job_instances (
	job_id INTEGER NOT NULL, 
	instance_id INTEGER NOT NULL, 
	set_aside BOOLEAN NOT NULL, 
	PRIMARY KEY (job_id, instance_id), 
	FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE, 
	FOREIGN KEY(instance_id) REFERENCES instances (id) ON DELETE CASCADE
);
INSERT INTO "job_instances" VALUES(1,1,0);
INSERT INTO "job_instances" VALUES(1,2,0);
INSERT INTO "job_instances" VALUES(1,3,0);
INSERT INTO "job_instances" VALUES(2,1,0);
INSERT INTO "job_instances" VALUES(2,2,0);
INSERT INTO "job_instances" VALUES(2,3,0);
INSERT INTO "job_instances" VALUES(2,4,0);
CREATE TABLE jobs (
	id INTEGER NOT NULL, 
	series_id INTEGER, 
	route VARCHAR(16) NOT NULL, 
	phase VARCHAR(16) NOT NULL, 
	model TEXT NOT NULL, 
	model_identity VARCHAR(256) NOT NULL, 
	content_digest VARCHAR(64) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	completion_signal VARCHAR(32), 
	instance_count INTEGER NOT NULL, 
	attempts INTEGER NOT NULL, 
	not_before DATETIME, 
	worker VARCHAR(128), 
	stage VARCHAR(32), 
	progress FLOAT, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	started_at DATETIME, 
	finished_at DATETIME, 
	reason_code VARCHAR(64), 
	reason_sentence TEXT, 
	reason_remedy TEXT, 
	failed_in VARCHAR(16), 
	result_path TEXT, 
	derived_series_instance_uid VARCHAR(64), 
	details TEXT NOT NULL, claimed_until DATETIME, superseded_by INTEGER, rules TEXT, route_settings TEXT, 
	PRIMARY KEY (id), 
	CONSTRAINT uq_jobs_identity UNIQUE (series_id, content_digest, model_identity), 
	FOREIGN KEY(series_id) REFERENCES series (id) ON DELETE CASCADE
);
INSERT INTO "jobs" VALUES(1,1,'CECT_ART','arterial','demo','demo 1','566dbbb3dc0969ac4860c42ac85655c60e6a554f4f2fe3ff0a770c7bdc05590d','done','released',3,0,NULL,NULL,NULL,NULL,'2026-01-01 12:00:20.000000','2026-01-01 12:00:20.000000','2026-01-01 12:00:20.000000','2026-01-01 12:00:20.000000',NULL,NULL,NULL,NULL,'/r','2.25.9','{"slices": 3}',NULL,2,NULL,NULL);
INSERT INTO "jobs" VALUES(2,1,'CECT_ART','arterial','demo','demo 1','bc5887676fdf96d12d081a78b8d22f7db9eafd81630149f096f478749a1816c3','delivering','released',4,0,NULL,NULL,NULL,NULL,'2026-01-01 12:00:40.000000','2026-01-01 12:00:40.000000','2026-01-01 12:00:40.000000',NULL,NULL,NULL,NULL,NULL,'/r','2.25.2','{}',NULL,NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(3,NULL,'CECT_ART','','','','','refused',NULL,1,0,NULL,NULL,NULL,NULL,'2026-01-01 12:00:40.000000','2026-01-01 12:00:40.000000',NULL,'2026-01-01 12:00:40.000000','not_dicom','No.','Look.',NULL,NULL,NULL,'{}',NULL,NULL,NULL,NULL);
CREATE TABLE quarantine (
	id INTEGER NOT NULL, 
	job_id INTEGER, 
	series_id INTEGER, 
	route VARCHAR(16) NOT NULL, 
	calling_ae VARCHAR(16) NOT NULL, 
	peer VARCHAR(64) NOT NULL, 
	association_id VARCHAR(64), 
	sop_instance_uid VARCHAR(64) NOT NULL, 
	path TEXT, 
	size BIGINT NOT NULL, 
	received_at DATETIME NOT NULL, 
	reason_code VARCHAR(64) NOT NULL, 
	reason_sentence TEXT NOT NULL, 
	reason_remedy TEXT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE, 
	FOREIGN KEY(series_id) REFERENCES series (id) ON DELETE CASCADE
);
INSERT INTO "quarantine" VALUES(1,NULL,1,'CECT_ART','PACS','127.0.0.1',NULL,'1.2.3.9','/q/1',3,'2026-01-01 12:00:40.000000','conflicting_instances','Two.','Look.');
INSERT INTO "quarantine" VALUES(2,3,NULL,'CECT_ART','PACS','127.0.0.1',NULL,'1.2.4.9','/q/2',3,'2026-01-01 12:00:40.000000','not_dicom','No.','Look.');
CREATE TABLE rejected_peers (
	calling_ae VARCHAR(16) NOT NULL, 
	called_ae VARCHAR(16) NOT NULL, 
	peer VARCHAR(64) NOT NULL, 
	reason_code VARCHAR(64) NOT NULL, 
	reason_sentence TEXT NOT NULL, 
	reason_remedy TEXT NOT NULL, 
	count INTEGER NOT NULL, 
	first_seen_at DATETIME NOT NULL, 
	last_seen_at DATETIME NOT NULL, 
	PRIMARY KEY (calling_ae, called_ae, peer, reason_code)
);
CREATE TABLE series (
	id INTEGER NOT NULL, 
	series_instance_uid VARCHAR(64) NOT NULL, 
	study_instance_uid VARCHAR(64) NOT NULL, 
	route VARCHAR(16) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	instance_count INTEGER NOT NULL, 
	conflict_count INTEGER NOT NULL, 
	first_received_at DATETIME NOT NULL, 
	last_received_at DATETIME NOT NULL, 
	completed_at DATETIME, 
	completion_signal VARCHAR(32), 
	content_digest VARCHAR(64), 
	calling_ae VARCHAR(16) NOT NULL, 
	peer VARCHAR(64) NOT NULL, 
	reason_code VARCHAR(64), 
	reason_sentence TEXT, 
	reason_remedy TEXT, completion_evidence TEXT, association_id VARCHAR(64), 
	PRIMARY KEY (id), 
	CONSTRAINT uq_series_uid_route UNIQUE (series_instance_uid, route)
);
INSERT INTO "series" VALUES(1,'1.2.3','1.2','CECT_ART','complete',4,0,'2026-01-01 12:00:00.000000','2026-01-01 12:00:20.000000','2026-01-01 12:00:40.000000','released','bc5887676fdf96d12d081a78b8d22f7db9eafd81630149f096f478749a1816c3','PACS','127.0.0.1',NULL,NULL,NULL,NULL,NULL);
CREATE INDEX ix_associations_closed_at ON associations (closed_at);
CREATE INDEX ix_series_state ON series (state, last_received_at);
CREATE INDEX ix_jobs_state ON jobs (state, id);
CREATE INDEX ix_job_instances_instance ON job_instances (instance_id);
CREATE INDEX ix_deliveries_state ON deliveries (state, not_before);
CREATE INDEX ix_quarantine_association ON quarantine (association_id);
CREATE INDEX ix_jobs_claimed_until ON jobs (claimed_until);
CREATE INDEX ix_deliveries_claimed_until ON deliveries (claimed_until);
CREATE INDEX ix_associations_claimed_until ON associations (claimed_until);
CREATE INDEX ix_series_study ON series (study_instance_uid);
CREATE INDEX ix_instances_association ON instances (association_id, series_id);
CREATE INDEX ix_jobs_superseded_by ON jobs (superseded_by);
COMMIT;
