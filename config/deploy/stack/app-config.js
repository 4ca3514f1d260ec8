// OHIF's configuration: one data source, the archive behind the same address, and a layout for source and derived series.

// A derived series beside its source: linked scrolling by position. Where a study has no series that is named SYNTHETIC, OHIF's own
// layout is used.
const beside = (id, index = 0) => ({
  viewportOptions: {
    viewportType: 'stack',
    toolGroupId: 'default',
    allowUnmatchedView: true,
    syncGroups: [{ type: 'imageSlice', id: 'sourceAndDerived', source: true, target: true }],
  },
  displaySets: [{ id, matchedDisplaySetsIndex: index }],
});

const sideBySide = {
  id: 'sourceAndDerived',
  name: 'Source and synthetic',
  description: 'The source series with the synthetic series made of it, with linked scrolling',
  protocolMatchingRules: [
    { weight: 100, attribute: 'numberOfSyntheticSeries', required: true, constraint: { greaterThan: { value: 0 } } },
  ],
  toolGroupIds: ['default'],
  displaySetSelectors: {
    source: {
      seriesMatchingRules: [
        { attribute: 'Modality', required: true, constraint: { equals: { value: 'CT' } } },
        { attribute: 'isReconstructable', required: true, constraint: { equals: { value: true } } },
        { attribute: 'SeriesDescription', required: true, constraint: { doesNotContain: 'SYNTHETIC' } },
      ],
    },
    derived: {
      seriesMatchingRules: [
        { attribute: 'SeriesDescription', required: true, constraint: { startsWith: 'SYNTHETIC' } },
      ],
    },
  },
  defaultViewport: beside('source', -1),
  stages: [
    {
      name: 'Source and two synthetic series',
      stageActivation: { enabled: { minViewportsMatched: 3 } },
      viewportStructure: { layoutType: 'grid', properties: { rows: 1, columns: 3 } },
      viewports: [beside('source'), beside('derived'), beside('derived', 1)],
    },
    {
      name: 'Source and one synthetic series',
      stageActivation: { enabled: { minViewportsMatched: 2 } },
      viewportStructure: { layoutType: 'grid', properties: { rows: 1, columns: 2 } },
      viewports: [beside('source'), beside('derived')],
    },
  ],
};

window.config = {
  routerBasename: null,
  extensions: [
    {
      id: 'source-and-derived',
      preRegistration: ({ servicesManager }) => {
        servicesManager.services.hangingProtocolService.addCustomAttribute(
          'numberOfSyntheticSeries',
          'Number of synthetic series',
          (study, { displaySets = [] } = {}) =>
            displaySets.filter(({ SeriesDescription = '' }) => SeriesDescription.startsWith('SYNTHETIC')).length
        );
      },
      getHangingProtocolModule: () => [{ name: sideBySide.id, protocol: sideBySide }],
    },
  ],
  modes: [],
  modesConfiguration: {
    '@ohif/mode-longitudinal': { hangingProtocol: { $set: [sideBySide.id, 'default'] } },
  },
  customizationService: {},
  showStudyList: true,
  maxNumberOfWebWorkers: 3,
  showWarningMessageForCrossOrigin: true,
  showCPUFallbackMessage: true,
  showLoadingIndicator: true,
  // A series with uneven slice spacing is not offered as a volume.
  strictZSpacingForVolumeViewport: true,
  groupEnabledModesFirst: true,
  showErrorDetails: 'always',
  defaultDataSourceName: 'pacs',
  dataSources: [
    {
      namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
      sourceName: 'pacs',
      configuration: {
        friendlyName: 'Orthanc',
        name: 'pacs',
        wadoUriRoot: '/dicom-web',
        qidoRoot: '/dicom-web',
        wadoRoot: '/dicom-web',
        qidoSupportsIncludeField: false,
        supportsReject: false,
        dicomUploadEnabled: false,
        imageRendering: 'wadors',
        thumbnailRendering: 'wadors',
        enableStudyLazyLoad: true,
        supportsFuzzyMatching: false,
        supportsWildcard: true,
        singlepart: 'bulkdata,video',
        bulkDataURI: { enabled: true },
        omitQuotationForMultipartRequest: true,
      },
    },
  ],
};
