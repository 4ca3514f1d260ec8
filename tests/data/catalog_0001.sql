BEGIN TRANSACTION;
CREATE TABLE associations (
	id VARCHAR(64) NOT NULL, 
	called_ae VARCHAR(16) NOT NULL, 
	calling_ae VARCHAR(16) NOT NULL, 
	peer VARCHAR(64) NOT NULL, 
	opened_at DATETIME NOT NULL, 
	closed_at DATETIME, 
	outcome VARCHAR(16), 
	PRIMARY KEY (id)
);
INSERT INTO "associations" VALUES('a','CECT_ART','PACS','127.0.0.1','2026-01-01 12:02:20.000000',NULL,NULL);
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
	reason_remedy TEXT, 
	PRIMARY KEY (id), 
	CONSTRAINT uq_deliveries_job_destination UNIQUE (job_id, destination), 
	FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
INSERT INTO "deliveries" VALUES(1,1,'pacs','done',1,NULL,NULL,'2026-01-01 12:00:20.000000','2026-01-01 12:00:20.000000','2026-01-01 12:00:20.000000',NULL,NULL,NULL);
INSERT INTO "deliveries" VALUES(2,2,'pacs','sending',0,NULL,'deliver','2026-01-01 12:00:40.000000','2026-01-01 12:02:20.000000',NULL,NULL,NULL,NULL);
CREATE TABLE delivery_instances (
	delivery_id INTEGER NOT NULL, 
	sop_instance_uid VARCHAR(64) NOT NULL, 
	status INTEGER, 
	comment VARCHAR(256) NOT NULL, 
	updated_at DATETIME, 
	PRIMARY KEY (delivery_id, sop_instance_uid), 
	FOREIGN KEY(delivery_id) REFERENCES deliveries (id) ON DELETE CASCADE
);
INSERT INTO "delivery_instances" VALUES(1,'2.25.0',0,'','2026-01-01 12:00:20.000000');
INSERT INTO "delivery_instances" VALUES(1,'2.25.1',0,'','2026-01-01 12:00:20.000000');
INSERT INTO "delivery_instances" VALUES(1,'2.25.2',0,'','2026-01-01 12:00:20.000000');
INSERT INTO "delivery_instances" VALUES(2,'2.25.0',45056,'','2026-01-01 12:02:20.000000');
INSERT INTO "delivery_instances" VALUES(2,'2.25.1',42752,'','2026-01-01 12:02:20.000000');
INSERT INTO "delivery_instances" VALUES(2,'2.25.2',NULL,'',NULL);
CREATE TABLE derived_instances (
	job_id INTEGER NOT NULL, 
	sop_instance_uid VARCHAR(64) NOT NULL, 
	sop_class_uid VARCHAR(64) NOT NULL, 
	path TEXT, 
	ordinal INTEGER NOT NULL, 
	PRIMARY KEY (job_id, sop_instance_uid), 
	FOREIGN KEY(job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
INSERT INTO "derived_instances" VALUES(1,'2.25.0','1','/d/0',0);
INSERT INTO "derived_instances" VALUES(1,'2.25.1','1','/d/1',1);
INSERT INTO "derived_instances" VALUES(1,'2.25.2','1','/d/2',2);
INSERT INTO "derived_instances" VALUES(2,'2.25.0','1','/d/0',0);
INSERT INTO "derived_instances" VALUES(2,'2.25.1','1','/d/1',1);
INSERT INTO "derived_instances" VALUES(2,'2.25.2','1','/d/2',2);
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
INSERT INTO "instances" VALUES(1,1,'1.2.3.0.0','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','/spool/0.dcm','d0',100,'2026-01-01 12:00:00.000000','PACS','127.0.0.1',NULL);
INSERT INTO "instances" VALUES(2,1,'1.2.3.0.1','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','/spool/1.dcm','d1',100,'2026-01-01 12:00:00.000000','PACS','127.0.0.1',NULL);
INSERT INTO "instances" VALUES(3,1,'1.2.3.0.2','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','/spool/2.dcm','d2',100,'2026-01-01 12:00:00.000000','PACS','127.0.0.1',NULL);
INSERT INTO "instances" VALUES(4,2,'1.2.3.1.0','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','/spool/0.dcm','d0',100,'2026-01-01 12:00:20.000000','PACS','127.0.0.1',NULL);
INSERT INTO "instances" VALUES(5,2,'1.2.3.1.1','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','/spool/1.dcm','d1',100,'2026-01-01 12:00:20.000000','PACS','127.0.0.1',NULL);
INSERT INTO "instances" VALUES(6,2,'1.2.3.1.2','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','/spool/2.dcm','d2',100,'2026-01-01 12:00:20.000000','PACS','127.0.0.1',NULL);
INSERT INTO "instances" VALUES(7,3,'1.2.3.2.0','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','/spool/0.dcm','d0',100,'2026-01-01 12:00:40.000000','PACS','127.0.0.1',NULL);
INSERT INTO "instances" VALUES(8,3,'1.2.3.2.1','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','/spool/1.dcm','d1',100,'2026-01-01 12:00:40.000000','PACS','127.0.0.1',NULL);
INSERT INTO "instances" VALUES(9,3,'1.2.3.2.2','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','/spool/2.dcm','d2',100,'2026-01-01 12:00:40.000000','PACS','127.0.0.1',NULL);
INSERT INTO "instances" VALUES(10,4,'1.2.3.3.0','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','/spool/0.dcm','d0',100,'2026-01-01 12:01:00.000000','PACS','127.0.0.1',NULL);
INSERT INTO "instances" VALUES(11,4,'1.2.3.3.1','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','/spool/1.dcm','d1',100,'2026-01-01 12:01:00.000000','PACS','127.0.0.1',NULL);
INSERT INTO "instances" VALUES(12,4,'1.2.3.3.2','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','/spool/2.dcm','d2',100,'2026-01-01 12:01:00.000000','PACS','127.0.0.1',NULL);
INSERT INTO "instances" VALUES(13,5,'1.2.3.4.0','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','/spool/0.dcm','d0',100,'2026-01-01 12:01:20.000000','PACS','127.0.0.1',NULL);
INSERT INTO "instances" VALUES(14,5,'1.2.3.4.1','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','/spool/1.dcm','d1',100,'2026-01-01 12:01:20.000000','PACS','127.0.0.1',NULL);
INSERT INTO "instances" VALUES(15,5,'1.2.3.4.2','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','/spool/2.dcm','d2',100,'2026-01-01 12:01:20.000000','PACS','127.0.0.1',NULL);
INSERT INTO "instances" VALUES(16,6,'1.2.3.5.0','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','/spool/0.dcm','d0',100,'2026-01-01 12:01:40.000000','PACS','127.0.0.1',NULL);
INSERT INTO "instances" VALUES(17,6,'1.2.3.5.1','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','/spool/1.dcm','d1',100,'2026-01-01 12:01:40.000000','PACS','127.0.0.1',NULL);
INSERT INTO "instances" VALUES(18,6,'1.2.3.5.2','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','/spool/2.dcm','d2',100,'2026-01-01 12:01:40.000000','PACS','127.0.0.1',NULL);
INSERT INTO "instances" VALUES(19,7,'1.2.3.6.0','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','/spool/0.dcm','d0',100,'2026-01-01 12:02:00.000000','PACS','127.0.0.1',NULL);
INSERT INTO "instances" VALUES(20,7,'1.2.3.6.1','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','/spool/1.dcm','d1',100,'2026-01-01 12:02:00.000000','PACS','127.0.0.1',NULL);
INSERT INTO "instances" VALUES(21,7,'1.2.3.6.2','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','/spool/2.dcm','d2',100,'2026-01-01 12:02:00.000000','PACS','127.0.0.1',NULL);
INSERT INTO "instances" VALUES(22,8,'9.9.1','1.2.840.10008.5.1.4.1.1.2','1.2.840.10008.1.2.1','/spool/1.dcm','d1',100,'2026-01-01 12:02:20.000000','PACS','127.0.0.1','a');
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
INSERT INTO "job_instances" VALUES(2,4,0);
INSERT INTO "job_instances" VALUES(2,5,0);
INSERT INTO "job_instances" VALUES(2,6,0);
INSERT INTO "job_instances" VALUES(3,7,0);
INSERT INTO "job_instances" VALUES(3,8,0);
INSERT INTO "job_instances" VALUES(3,9,0);
INSERT INTO "job_instances" VALUES(4,10,0);
INSERT INTO "job_instances" VALUES(4,11,0);
INSERT INTO "job_instances" VALUES(4,12,0);
INSERT INTO "job_instances" VALUES(5,13,0);
INSERT INTO "job_instances" VALUES(5,14,0);
INSERT INTO "job_instances" VALUES(5,15,0);
INSERT INTO "job_instances" VALUES(6,16,0);
INSERT INTO "job_instances" VALUES(6,17,0);
INSERT INTO "job_instances" VALUES(6,18,0);
INSERT INTO "job_instances" VALUES(7,19,0);
INSERT INTO "job_instances" VALUES(7,20,0);
INSERT INTO "job_instances" VALUES(7,21,0);
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
	details TEXT NOT NULL, 
	PRIMARY KEY (id), 
	CONSTRAINT uq_jobs_identity UNIQUE (series_id, content_digest, model_identity), 
	FOREIGN KEY(series_id) REFERENCES series (id) ON DELETE CASCADE
);
INSERT INTO "jobs" VALUES(1,1,'CECT_ART','arterial','demo','demo 1','dbc6208bba2ff2fb7b9382d6028199b719fd25eba3195e193c6f388b8ca0fdf4','done','released',3,0,NULL,NULL,NULL,NULL,'2026-01-01 12:00:20.000000','2026-01-01 12:00:20.000000','2026-01-01 12:00:20.000000','2026-01-01 12:00:20.000000',NULL,NULL,NULL,NULL,'/r','2.25.9','{"slices": 3}');
INSERT INTO "jobs" VALUES(2,2,'CECT_ART','arterial','demo','demo 1','65504abfad0bf2f7088fc079bd8e28a9941b2a611767d78ccafde42cc785faa5','delivering','released',3,0,NULL,NULL,NULL,NULL,'2026-01-01 12:00:40.000000','2026-01-01 12:00:40.000000','2026-01-01 12:00:40.000000',NULL,NULL,NULL,NULL,NULL,'/r','2.25.9','{"slices": 3}');
INSERT INTO "jobs" VALUES(3,3,'CECT_ART','arterial','demo','demo 1','852e3b313058664d16107836b3cd92a20d19162dd07f62d1988684576e3fd5b5','deriving','released',3,0,NULL,'w',NULL,NULL,'2026-01-01 12:01:00.000000','2026-01-01 12:01:00.000000','2026-01-01 12:01:00.000000',NULL,NULL,NULL,NULL,NULL,'/r',NULL,'{"slices": 3}');
INSERT INTO "jobs" VALUES(4,4,'CECT_ART','arterial','demo','demo 1','0d7dabfb5384edf7954b96eec0dbb2598fe37a48f4885495794a17d6a8d73d2a','translated','released',3,0,NULL,NULL,NULL,NULL,'2026-01-01 12:01:20.000000','2026-01-01 12:01:20.000000','2026-01-01 12:01:20.000000',NULL,NULL,NULL,NULL,NULL,'/r',NULL,'{"slices": 3}');
INSERT INTO "jobs" VALUES(5,5,'CECT_ART','arterial','demo','demo 1','9acc50cbebde17d7d92b06fe8a0d622e172077ff8f13d5af9b0e69ba9669cf79','translating','released',3,0,NULL,'w',NULL,NULL,'2026-01-01 12:01:40.000000','2026-01-01 12:01:40.000000','2026-01-01 12:01:40.000000',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"slices": 3}');
INSERT INTO "jobs" VALUES(6,6,'CECT_ART','arterial','demo','demo 1','74a811234ccf75ddda266056caf4882bb5364242a42abd15c96cf25deed7bad6','queued','released',3,0,NULL,NULL,NULL,NULL,'2026-01-01 12:02:00.000000','2026-01-01 12:02:00.000000',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"slices": 3}');
INSERT INTO "jobs" VALUES(7,7,'CECT_ART','arterial','demo','demo 1','1cee0fe4692563fdd0d0c8176edae273eec73744dc8d30693daa385f1e0b82fc','selecting','released',3,0,NULL,'select',NULL,NULL,'2026-01-01 12:02:20.000000','2026-01-01 12:02:20.000000','2026-01-01 12:02:20.000000',NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{}');
INSERT INTO "jobs" VALUES(8,NULL,'CECT_ART','','','','','refused',NULL,1,0,NULL,NULL,NULL,NULL,'2026-01-01 12:02:20.000000','2026-01-01 12:02:20.000000',NULL,'2026-01-01 12:02:20.000000','not_dicom','Not DICOM.','Look at the sender.',NULL,NULL,NULL,'{}');
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
INSERT INTO "quarantine" VALUES(1,8,NULL,'CECT_ART','PACS','127.0.0.1','a','1.9','/q/1',1,'2026-01-01 12:02:20.000000','not_dicom','Not DICOM.','Look at the sender.');
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
INSERT INTO "rejected_peers" VALUES('X','Y','h','called_ae_unknown','No.','',1,'2026-01-01 12:02:20.000000','2026-01-01 12:02:20.000000');
CREATE TABLE schema_version (
	version INTEGER NOT NULL, 
	applied_at DATETIME NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "schema_version" VALUES(1,'2026-01-01 12:00:00.000000');
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
	reason_remedy TEXT, 
	PRIMARY KEY (id), 
	CONSTRAINT uq_series_uid_route UNIQUE (series_instance_uid, route)
);
INSERT INTO "series" VALUES(1,'1.2.3.0','1.2','CECT_ART','complete',3,0,'2026-01-01 12:00:00.000000','2026-01-01 12:00:00.000000','2026-01-01 12:00:20.000000','released','dbc6208bba2ff2fb7b9382d6028199b719fd25eba3195e193c6f388b8ca0fdf4','PACS','127.0.0.1',NULL,NULL,NULL);
INSERT INTO "series" VALUES(2,'1.2.3.1','1.2','CECT_ART','complete',3,0,'2026-01-01 12:00:20.000000','2026-01-01 12:00:20.000000','2026-01-01 12:00:40.000000','released','65504abfad0bf2f7088fc079bd8e28a9941b2a611767d78ccafde42cc785faa5','PACS','127.0.0.1',NULL,NULL,NULL);
INSERT INTO "series" VALUES(3,'1.2.3.2','1.2','CECT_ART','complete',3,0,'2026-01-01 12:00:40.000000','2026-01-01 12:00:40.000000','2026-01-01 12:01:00.000000','released','852e3b313058664d16107836b3cd92a20d19162dd07f62d1988684576e3fd5b5','PACS','127.0.0.1',NULL,NULL,NULL);
INSERT INTO "series" VALUES(4,'1.2.3.3','1.2','CECT_ART','complete',3,0,'2026-01-01 12:01:00.000000','2026-01-01 12:01:00.000000','2026-01-01 12:01:20.000000','released','0d7dabfb5384edf7954b96eec0dbb2598fe37a48f4885495794a17d6a8d73d2a','PACS','127.0.0.1',NULL,NULL,NULL);
INSERT INTO "series" VALUES(5,'1.2.3.4','1.2','CECT_ART','complete',3,0,'2026-01-01 12:01:20.000000','2026-01-01 12:01:20.000000','2026-01-01 12:01:40.000000','released','9acc50cbebde17d7d92b06fe8a0d622e172077ff8f13d5af9b0e69ba9669cf79','PACS','127.0.0.1',NULL,NULL,NULL);
INSERT INTO "series" VALUES(6,'1.2.3.5','1.2','CECT_ART','complete',3,0,'2026-01-01 12:01:40.000000','2026-01-01 12:01:40.000000','2026-01-01 12:02:00.000000','released','74a811234ccf75ddda266056caf4882bb5364242a42abd15c96cf25deed7bad6','PACS','127.0.0.1',NULL,NULL,NULL);
INSERT INTO "series" VALUES(7,'1.2.3.6','1.2','CECT_ART','complete',3,0,'2026-01-01 12:02:00.000000','2026-01-01 12:02:00.000000','2026-01-01 12:02:20.000000','released','1cee0fe4692563fdd0d0c8176edae273eec73744dc8d30693daa385f1e0b82fc','PACS','127.0.0.1',NULL,NULL,NULL);
INSERT INTO "series" VALUES(8,'9.9','1.2','CECT_ART','receiving',1,0,'2026-01-01 12:02:20.000000','2026-01-01 12:02:20.000000',NULL,NULL,NULL,'PACS','127.0.0.1',NULL,NULL,NULL);
CREATE INDEX ix_associations_closed_at ON associations (closed_at);
CREATE INDEX ix_series_state ON series (state, last_received_at);
CREATE INDEX ix_instances_association ON instances (association_id);
CREATE INDEX ix_jobs_state ON jobs (state, id);
CREATE INDEX ix_job_instances_instance ON job_instances (instance_id);
CREATE INDEX ix_deliveries_state ON deliveries (state, not_before);
CREATE INDEX ix_quarantine_association ON quarantine (association_id);
COMMIT;
