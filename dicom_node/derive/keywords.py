"""Which attributes go from a source slice to a derived object as they are, and which must not be missing."""

from __future__ import annotations

#: Patient (PS3.3 C.7.1.1), Clinical Trial Subject (C.7.1.3).
PATIENT = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "TypeOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "PatientBirthDate",
    "PatientBirthTime",
    "PatientSex",
    "QualityControlSubject",
    "OtherPatientIDs",
    "OtherPatientNames",
    "OtherPatientIDsSequence",
    "EthnicGroup",
    "PatientComments",
    "PatientSpeciesDescription",
    "PatientSpeciesCodeSequence",
    "PatientBreedDescription",
    "PatientBreedCodeSequence",
    "BreedRegistrationSequence",
    "ResponsiblePerson",
    "ResponsiblePersonRole",
    "ResponsibleOrganization",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID",
    "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
)
#: General Study (C.7.2.1), Patient Study (C.7.2.2), Clinical Trial Study (C.7.2.3).
STUDY = (
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "IssuerOfAccessionNumberSequence",
    "ReferringPhysicianName",
    "ReferringPhysicianIdentificationSequence",
    "StudyDescription",
    "ProcedureCodeSequence",
    "PhysiciansOfRecord",
    "PhysiciansOfRecordIdentificationSequence",
    "NameOfPhysiciansReadingStudy",
    "StudyID",
    "RequestingService",
    "ReferencedStudySequence",
    "AdmittingDiagnosesDescription",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "MedicalAlerts",
    "Allergies",
    "Occupation",
    "SmokingStatus",
    "AdditionalPatientHistory",
    "PregnancyStatus",
    "PatientSexNeutered",
    "AdmissionID",
    "ReasonForVisit",
    "IssuerOfAdmissionIDSequence",
    "ServiceEpisodeID",
    "ClinicalTrialTimePointID",
    "ClinicalTrialTimePointDescription",
    "LongitudinalTemporalInformationModified",
)
#: What of General Series (C.7.3.1), Frame of Reference (C.7.4.1) and SOP Common (C.12.1) stays true of the derived
#: series. The source's protocol and descriptions do not: they tell of a scan without contrast agent.
SERIES = ("Laterality", "PatientPosition", "PositionReferenceIndicator", "TimezoneOffsetFromUTC")
#: Image Plane (C.7.6.2).
PLANE = (
    "PixelSpacing",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "SliceThickness",
    "SpacingBetweenSlices",
    "SliceLocation",
)
#: Lossy history (C.7.6.1.1.5).
LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
#: Type 2: present, if need be empty.
TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
    "PositionReferenceIndicator",
)
#: Body Part Examined: defined terms of PS3.16 Annex L for regions that CT covers and that are not paired. Other texts
#: are often a protocol's name (such as "CHEST WO C"), which would contradict a synthetic contrast phase.
UNPAIRED_BODY_PARTS = frozenset(
    {
        "ABDOMEN",
        "ABDOMENPELVIS",
        "AORTA",
        "BRAIN",
        "CHEST",
        "CHESTABDOMEN",
        "CHESTABDPELVIS",
        "COLON",
        "CSPINE",
        "HEAD",
        "HEADNECK",
        "HEART",
        "LIVER",
        "LSPINE",
        "LSSPINE",
        "MEDIASTINUM",
        "NECK",
        "NECKCHEST",
        "NECKCHESTABDOMEN",
        "NECKCHESTABDPELV",
        "PANCREAS",
        "PELVIS",
        "SKULL",
        "SPINE",
        "SPLEEN",
        "SSPINE",
        "TLSPINE",
        "TSPINE",
        "WHOLEBODY",
    }
)
